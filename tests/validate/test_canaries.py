"""What counts as a right reply, and what a kernel computes."""

import pytest

from tasks.validate.aviary import Reply
from tasks.validate.canaries import CANARIES
from tasks.validate.kernel import numerics


def reply(content: str = "", reasoning: str = "", calls: tuple[tuple[str, str], ...] = ()) -> Reply:
    return Reply(content=content, reasoning=reasoning, calls=calls, ending="stop")


RIGHT = {
    "chat": reply("The capital is Tokyo."),
    "image": reply("Red."),
    "tool_call": reply(calls=(("get_weather", '{"city": "London"}'),)),
    "tool_result": reply("It is foggy in London."),
    "reasoning": reply("85", reasoning="Ones: 7 + 8 = 15."),
}
WRONG = [
    ("chat", reply("Kyoto")),
    ("chat", reply(reasoning="Tokyo")),
    ("image", reply("Blue.")),
    ("tool_call", reply('call:get_weather{city:"London"}')),
    ("tool_call", reply(calls=(("get_time", '{"city": "London"}'),))),
    ("tool_call", reply(calls=(("get_weather", '{"city": "London'),))),
    ("tool_call", reply(calls=(("get_weather", '["London"]'),))),
    ("tool_call", reply(calls=RIGHT["tool_call"].calls * 2)),
    ("tool_result", reply("It is sunny in London.")),
    ("tool_result", reply(calls=(("get_weather", '{"city": "London"}'),))),
    ("reasoning", reply("85")),
    ("reasoning", reply("thought: 7 + 8 = 15", reasoning="85")),
]


@pytest.mark.parametrize("name", CANARIES)
def test_right_replies_are_told_from_those_of_other_canaries(name: str) -> None:
    """A canary takes its own right reply, and no other canary's."""
    assert [other for other, said in RIGHT.items() if CANARIES[name].right(said)] == [name]


@pytest.mark.parametrize(("name", "said"), WRONG)
def test_near_misses_are_wrong(name: str, said: Reply) -> None:
    """A wrong word, an unparsed tool call and a thought left in the answer do not pass."""
    assert not CANARIES[name].right(said)


@pytest.mark.parametrize(
    ("kernel", "label"),
    [
        ("EmulationNvFp4LinearKernel", "W4A4 emulated"),
        ("CutlassNvFp4LinearKernel", "W4A4 native"),
        ("FlashInferCutlassNvFp4LinearKernel", "W4A4 native"),
        ("MarlinNvFp4LinearKernel", "W4A16"),
        ("FlashInferCuteDslNvFp4W4A16LinearKernel", "W4A16"),
    ],
)
def test_a_kernel_says_whether_activations_are_rounded(kernel: str, label: str) -> None:
    """Names of vLLM's kernels map to the numerics that they compute."""
    assert numerics(kernel) == label
