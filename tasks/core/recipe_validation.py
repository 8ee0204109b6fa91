"""The part of a recipe that judges: what is served and compared, and what it must hold."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tasks.core.manifest import Frozen
from tasks.core.recipe_source import Count, Positive, Share, Source, unnamed_at


class Task(Frozen):
    """A set of items that lm-eval scores base and candidate on.

    Attributes:
        name: for people.
        source: rows; of a chat the last message is the right answer, and all before it is asked.
        kind: `exact_match` compares the answer of a chat, be it words or tool calls, letter by
            letter; `perplexity` takes the log-likelihood of whole texts.
        items: how many of the first rows are used.
        max_tokens: most tokens of an answer, its thought included.
        benchmark: `owner/name:task` of a benchmark that is registered with the Hub; its score is
            then published under `.eval_results` too.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    source: Source
    kind: Literal["exact_match", "perplexity"] = "exact_match"
    items: Count = 100
    max_tokens: Count = 256
    benchmark: Annotated[str, Field(pattern=r"^$|^[\w.-]+/[\w.-]+:[\w.-]+$"), unnamed_at("")] = ""

    @property
    def place(self) -> str:
        """Where its source stands in a recipe."""
        return f"validation.tasks.{self.name}"


class Serving(Frozen):
    """How vLLM serves base and candidate while they are compared.

    Attributes:
        max_model_len: tokens of context the server keeps room for.
        max_num_seqs: requests at once.
        images_per_prompt: images a request may carry.
        startup_seconds: how long the server may take to answer its first request.
        logprobs: k of the top-k log-probabilities asked for each prompt token.
    """

    max_model_len: Count = 32768
    max_num_seqs: Count = 8
    images_per_prompt: Annotated[int, Field(ge=0)] = 2
    startup_seconds: Positive = 1800
    logprobs: Annotated[int, Field(ge=1, le=1000)] = 20


class Limits(Frozen):
    """What the comparison of base and candidate must hold, or the release stops.

    Attributes:
        mean_kl: most mean KL divergence, nats a token (top-k ids plus one tail bucket).
        perplexity_ratio: most perplexity of the candidate over the base's.
        top1_agreement: least share of positions whose likeliest token is the base's.
        sure_agreement: the same, of positions where the base gives its likeliest token 90%.
        stratum_kl: most mean KL divergence of any kind of text.
        flips: most share of positions where just one of both predicts the token that stands there.
        control_ratio: most KL divergence over that of weights rounded to nearest.
        floor_kl: most mean KL of the base against itself; above it nothing can be measured.
        gain: most that the candidate may seem better than the base, as a share of perplexity.
        size_ratio: most bytes of the release over the base's.
        p99_kl: most KL divergence of 99 in 100 positions.
        task_loss: most share of a task's items that the candidate answers rightly less than the
            base does.
        tasks_loss: the same of all tasks' items together.
    """

    mean_kl: Positive
    perplexity_ratio: Annotated[float, Field(gt=1, allow_inf_nan=False)]
    top1_agreement: Share
    sure_agreement: Share | None = None
    stratum_kl: Positive | None = None
    flips: Share | None = None
    control_ratio: Positive | None = 1.0
    floor_kl: Positive = 0.02
    gain: Positive = 0.05
    size_ratio: Share = 0.5
    p99_kl: Annotated[Positive | None, unnamed_at(None)] = None
    task_loss: Annotated[Share | None, unnamed_at(None)] = None
    tasks_loss: Annotated[Share | None, unnamed_at(None)] = None


class Repair(Frozen):
    """What may be done to a release that was shown to be damaged.

    The layers that harm most, by measurement, stay as the base has them, and the gate judges again.

    Attributes:
        attempts: how often.
        size_budget: most bytes that kept layers add in all, as a share of the base's weights.
    """

    attempts: Annotated[int, Field(ge=1, le=5)] = 1
    size_budget: Share = 0.05


class Validation(Frozen):
    """What is served and compared before a release may leave.

    Attributes:
        profile: `full` serves and compares; `lint-only` checks the files alone, measures nothing,
            and its release stays in a private repository.
        heldout: rows that calibration never sees; overlap is refused.
        texts: how many of them are compared at first, as many of each kind as there are.
        most_texts: how many at most, where the first leave it open; null is `texts`.
        tokens: tokens of each that are compared, at most.
        tasks: sets of items that lm-eval scores both on, paired item by item.
        canaries: requests that must be answered: chat, image, tool call, tool result, reasoning,
            a long context, and the ways to end an answer.
        strict_canaries: also require the right answers; false for an untrained base.
        arms: what is measured beside the candidate: `floor`, the base served again, and
            `control`, its weights rounded to nearest.
        second_engine: texts that plain transformers measures too, to tell damage of weights from
            that of activations; 0 is none.
        seed: of the bootstrap.
        serving: how base and candidate are served.
        limits: what the comparison must hold.
        repair: what may be done to a release that was shown to be damaged; null is nothing.
    """

    profile: Annotated[Literal["full", "lint-only"], unnamed_at("full")] = "full"
    heldout: Source
    texts: Count = 64
    most_texts: Count | None = None
    tokens: Annotated[int, Field(ge=16)] = 512
    tasks: Annotated[tuple[Task, ...], unnamed_at(())] = ()
    canaries: tuple[
        Literal["chat", "image", "tool_call", "tool_result", "reasoning", "long_context", "stop"],
        ...,
    ] = ("chat", "image", "tool_call", "tool_result", "reasoning")
    strict_canaries: bool = True
    arms: tuple[Literal["floor", "control"], ...] = ("floor", "control")
    second_engine: Annotated[int, Field(ge=0)] = 0
    seed: int = 42
    serving: Serving = Serving()
    limits: Limits
    repair: Annotated[Repair | None, unnamed_at(None)] = None

    @model_validator(mode="after")
    def _tasks_have_names_of_their_own(self) -> Self:
        names = [task.name for task in self.tasks]
        if twice := {name for name in names if names.count(name) > 1}:
            msg = f"tasks: more than one is called {', '.join(sorted(twice))}"
            raise ValueError(msg)
        return self

    @property
    def measures(self) -> bool:
        """Whether base and candidate are served and compared at all."""
        return self.profile == "full"

    @property
    def sources(self) -> dict[str, Source]:
        """The rows that judging reads, by their place in the recipe."""
        tasks = {task.place: task.source for task in self.tasks}
        return {"validation.heldout": self.heldout} | tasks

    @property
    def budget(self) -> int:
        """Texts that are compared at most."""
        return max(self.texts, self.most_texts or 0)
