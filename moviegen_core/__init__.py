"""Movie Gen as a PyTorch library: networks, flow matching, conditionings, pipelines, training, evaluation."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["MovieGenPipeline", "__version__"]


def __getattr__(name: str) -> Any:
    # Importing the pipeline imports torch; `import moviegen_core` alone must stay quick.
    if name == "MovieGenPipeline":
        from .pipelines.movie import MovieGenPipeline

        return MovieGenPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
