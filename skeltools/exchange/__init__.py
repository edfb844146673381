"""Other people's data, in and out, and by which preparation it was made."""
