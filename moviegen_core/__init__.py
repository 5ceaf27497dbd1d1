"""Movie Gen as a PyTorch library: networks, flow matching, conditionings, pipelines, training, evaluation."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["MovieGenPipeline", "SoundPipeline", "__version__"]


def __getattr__(name: str) -> Any:
    # Importing a pipeline imports torch; `import moviegen_core` alone must stay quick.
    if name == "MovieGenPipeline":
        from .pipelines.movie import MovieGenPipeline

        return MovieGenPipeline
    if name == "SoundPipeline":
        from .pipelines.soundtrack import SoundPipeline

        return SoundPipeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
