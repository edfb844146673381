"""One self-contained HTML page: of runs (`skeltools.page.runs`) or of a data file (`skeltools.page.view`).

Both gather plain values, which `skeltools.page.document` puts into a page with the style and script of the
folder ``assets``. The page needs no network and no server; its security policy allows neither.
"""
