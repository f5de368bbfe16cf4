"""From a recipe's options to its objective."""

from models.multitask_baseline import MultiTaskBaselineConfig
from training.objectives.objective import Objective
from training.objectives.perceive import PerceiveObjective, PerceiveOptions
from training.recipes import Recipe


def build_objective(recipe: Recipe) -> Objective:
    """The objective that the recipe names; ValueError when the model is of another task."""
    if isinstance(recipe.options, PerceiveOptions):
        if not isinstance(recipe.model, MultiTaskBaselineConfig):
            raise ValueError(f"model: expected one that perceives, found {type(recipe.model).__name__}")
        return PerceiveObjective(recipe.options, recipe.model.classes)
    raise ValueError(f"options: expected those of an objective, found {type(recipe.options).__name__}")
