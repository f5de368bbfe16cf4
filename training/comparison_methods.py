"""From the methods' names on a command line to recipes.

A method is a weighting (equal, fixed, uncertainty, dwa, lps, instance), a gradient method (sum, gradnorm, pcgrad, ...),
or one of each joined by "+". Fields of a configuration follow its name after colons: "cagrad:c=0.6+uncertainty",
"sum:steps=3". What a method leaves open is as in the recipe. "single" trains one network for each task, the reference
of the comparison.
"""

import dataclasses
import json
import re
import typing
from dataclasses import dataclass, replace
from typing import Any

from models.build import DenseTasksConfig
from models.mt_cp import MtCpConfig
from models.shared_encoder import SharedEncoderConfig
from models.task_batch_norm import TaskBatchNormConfig
from training.config_json import from_json
from training.connection_strength import ConnectionStrengthConfig
from training.gradient_methods.build import GradientConfig
from training.objectives.dense_tasks import DenseTasksOptions
from training.recipe import Recipe
from training.task_weighting.build import WeightingConfig
from training.task_weighting.fixed import EqualConfig

SINGLE = "single"
GRADIENTS: dict[str, type[Any]] = {config.kind: config for config in typing.get_args(GradientConfig)}
WEIGHTINGS: dict[str, type[Any]] = {config.kind: config for config in typing.get_args(WeightingConfig)}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One column of the grid: a name for tables, a folder, and a recipe for each network that it trains.

    recipes: by the task that a network is for; "" for one network of all tasks.
    """

    name: str
    folder: str
    recipes: dict[str, Recipe]


def contender(method: str, recipe: Recipe) -> Contender:
    """The recipe under one method. Raises ValueError for a name, field or value that is not understood."""
    options, model = recipe.options, recipe.model
    if not isinstance(options, DenseTasksOptions) or not isinstance(model, DenseTasksConfig):
        raise ValueError(f"recipe: expected one of dense tasks, found {recipe.objective}")
    folder = re.sub(r"[^a-z0-9.+-]+", "_", method.lower())
    if method == SINGLE:
        return Contender(name=method, folder=folder, recipes=_single(recipe, options, model))
    chosen: dict[str, Any] = {}
    for part in method.split("+"):
        name, *fields = part.split(":")
        role, known = ("gradients", GRADIENTS) if name in GRADIENTS else ("weighting", WEIGHTINGS)
        if name not in known:
            raise ValueError(f"methods: expected of {[SINGLE, *GRADIENTS, *WEIGHTINGS]}, found {name!r} in {method!r}")
        if role in chosen:
            raise ValueError(f"methods: expected one method for the {role}, found two in {method!r}")
        chosen[role] = _configured(known[name], fields, method)
    gradients = chosen.get("gradients", recipe.gradients)
    if isinstance(gradients, ConnectionStrengthConfig) and not isinstance(model, TaskBatchNormConfig):
        if isinstance(model, MtCpConfig):
            raise ValueError("methods: connection_strength needs a network with batch norms, found MT-CP")
        model = TaskBatchNormConfig(network=model)
    options = replace(options, weighting=chosen.get("weighting", options.weighting))
    changed = replace(recipe, name=f"{recipe.name}/{method}", options=options, gradients=gradients, model=model)
    return Contender(name=method, folder=folder, recipes={"": changed})


def _single(recipe: Recipe, options: DenseTasksOptions, model: DenseTasksConfig) -> dict[str, Recipe]:
    """The plain network of each task, with the same encoder, losses and budget."""
    if isinstance(model, TaskBatchNormConfig):
        model = model.network
    if isinstance(model, MtCpConfig) and model.mask2former is not None:
        raise ValueError("methods: single needs a network with a backbone, found Mask2Former")
    alone = replace(options, weighting=EqualConfig(), log_projection=False, single_task=())
    return {
        task.name: replace(
            recipe,
            name=f"{recipe.name}/{SINGLE}-{task.name}",
            options=alone,
            model=SharedEncoderConfig(backbone=model.backbone, tasks=(task,)),
            gradients=GRADIENTS["sum"](),
        )
        for task in model.tasks
    }


def _configured(config: type[Any], fields: list[str], method: str) -> Any:
    """The configuration with some fields set, values as in JSON, or else as words."""
    values = {field.name: getattr(config(), field.name) for field in dataclasses.fields(config)}
    for field in fields:
        name, equals, text = field.partition("=")
        if not equals or name not in values or name == "kind":
            names = sorted(set(values) - {"kind"})
            raise ValueError(f"methods: expected field=value with a field of {names}, found {field!r} in {method!r}")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return from_json(config, values)
