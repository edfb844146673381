"""A method of one's own: SimSiam (arXiv 2011.10566) on two views of a clip, with any backbone.

skeltools pretrain ntu60.h5 --split xsub --stream joint --out runs/mine --method method:SimSiam
"""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.methods.contract import Batch, Method, Output
from skeltools.models.contract import Backbone, initialise
from skeltools.models.heads import MLP
from skeltools.models.registry import build_backbone
from skeltools.settings import setting
from skeltools.skeletons import Form
from skeltools.transforms import augment
from skeltools.transforms.streams import to_stream


@dataclass(frozen=True)
class LossSettings:
    """``loss.*``"""

    spread: float = setting("Weight of a term that keeps features apart.", low=0, default=0.1)


class SimSiam(Method):
    """Each view predicts the other's projection, which takes no gradient."""

    settings = {"loss": LossSettings}  # noqa: RUF012

    def __init__(self, settings: Any, form: Form, stream: str) -> None:
        super().__init__(settings, form, stream)
        self.skeleton, self.stream, self.spread = form.skeleton, stream, settings.loss.spread
        self.augmented = augment.parse("crop(6)|shear(0.5)|flip(0.5)", form.skeleton)
        self.backbone = build_backbone(settings.model, form)
        size = self.backbone.feature_dim
        self.project, self.predict = MLP(size, size, size), MLP(size, size, size)
        initialise(self)

    def encoder(self) -> Backbone:
        return self.backbone

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        x, draws = batch.x[batch.mine], batch.draws.of(batch.mine)
        made = (self.augmented(x, draws.scoped(name)) for name in ("first", "second"))
        return tuple(to_stream(view, self.stream, self.skeleton) for view in made)

    def forward(self, *views: Tensor) -> Output:
        z = [self.project(self.backbone.features(view)) for view in views]
        p = [self.predict(vector) for vector in z]
        match = (
            -(F.cosine_similarity(p[0], z[1].detach()) + F.cosine_similarity(p[1], z[0].detach())).mean() / 2
        )
        apart = nn.functional.relu(1 - F.normalize(z[0], dim=1).std(dim=0)).mean()
        return Output(match + self.spread * apart, {"match": match.detach(), "apart": apart.detach()})
