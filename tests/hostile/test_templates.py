"""A base's chat template that tries to get out or to last: the row is refused, nothing happens."""

from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tasks.core.chat_template import ChatTemplate
from tasks.core.confined import Limits
from tasks.core.errors import BaseModelError

CLASSES = "''.__class__.__mro__[1].__subclasses__()"
LOOPS = "{% for n in range(99999) %}{% for m in range(99999) %}BODY{% endfor %}{% endfor %}"
SHORT = Limits(seconds=5)
TEMPLATES = {
    "a class's subclasses": "{{ " + CLASSES + " }}",
    "a loop over all classes": "{% for c in "
    + CLASSES
    + " %}{{ c('/etc/passwd').read() }}{% endfor %}",
    "a function's globals": "{{ raise_exception.__globals__['os'].system('touch MARK') }}",
    "a global's builtins": "{{ namespace.__init__.__globals__.__builtins__.open('MARK', 'w') }}",
    "the template's own module": "{{ self.__init__.__globals__.os.system('touch MARK') }}",
    "cycler's globals": "{{ cycler.__init__.__globals__.os.popen('touch MARK').read() }}",
    "attribute by filter": "{{ ('' | attr('__class__')).__mro__ }}",
    "attribute by format": "{{ '{0.__class__.__mro__}'.format(messages) }}{{ nothing.here }}",
    "an import": "{% import 'os' as os %}{{ os.system('touch MARK') }}",
    "an included file": "{% include '/etc/passwd' %}",
    "a changed message": "{{ messages.append({'role': 'user'}) }}",
    "a call of eval": "{{ eval('1') }}",
    "a giant range": "{% for n in range(10 ** 12) %}{{ n }}{% endfor %}",
    "an endless recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "half a tag": "{% for message in messages",
    "an unknown tag": "{% python import os %}",
    "loops within loops": LOOPS.replace("BODY", ""),
    "a loop that writes little": LOOPS.replace("BODY", "{% if m == 0 %}x{% endif %}"),
    "a loop that doubles a text": "{% set n = namespace(x='x') %}{% for i in range(99) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}",
    "a text of 100 GB": "{{ 'x' * 10 ** 11 }}",
    "a list of 10^11 entries": "{{ ([0] * 10 ** 11) | length }}",
    "a power of powers": "{{ 9 ** (9 ** (9 ** 9)) }}",
    "a centred text": "{{ 'x' | center(10 ** 11) }}",
    "a wide format": "{{ '%99999999999d' % 1 }}",
    "calls that branch": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}"
    "{% endmacro %}{{ m(60) }}",
    "a long answer": "{{ 'x' * 5 * 10 ** 6 }}",
    "10^5 brackets": "{{ " + "(" * 10**5 + "1" + ")" * 10**5 + " }}",
    "an error of its own": "{{ raise_exception('pay first') }}",
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    from infra.local.base_model.build import build

    folder = tmp_path_factory.mktemp("base") / "model"
    build(folder, layers=1)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_hostile_template_is_refused(tokenizer: Any, tmp_path: Path, name: str) -> None:
    """The error is the base's, says what the template did, and comes in time; no file was made."""
    mark = tmp_path / "out"
    tokenizer.chat_template = TEMPLATES[name].replace("MARK", str(mark))
    started = monotonic()
    with (
        ChatTemplate(tokenizer, SHORT) as chats,
        pytest.raises(BaseModelError, match="chat template") as refused,
    ):
        chats.render([{"role": "user", "content": "Hello."}], {})
    assert monotonic() - started < 2 * SHORT.seconds
    assert refused.value.found
    assert refused.value.remedy
    assert not mark.exists()
