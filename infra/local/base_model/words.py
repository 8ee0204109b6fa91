"""The closed world of the skills: what they name, and the tools they may call."""

from typing import Any


def _each(words: str) -> list[str]:
    return words.split()


COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (35, 60, 220),
    "yellow": (240, 220, 40),
    "purple": (130, 40, 160),
    "orange": (245, 140, 20),
}
SHAPES = ("circle", "square", "triangle")
CAPITALS = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "China": "Beijing",
    "Egypt": "Cairo",
    "Greece": "Athens",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Finland": "Helsinki",
    "Poland": "Warsaw",
    "Austria": "Vienna",
    "Hungary": "Budapest",
    "Portugal": "Lisbon",
    "Ireland": "Dublin",
    "Russia": "Moscow",
    "Cuba": "Havana",
    "Peru": "Lima",
    "Kenya": "Nairobi",
    "India": "New Delhi",
    "Canada": "Ottawa",
    "Turkey": "Ankara",
    "Denmark": "Copenhagen",
}
CITIES = (
    *CAPITALS.values(),
    *_each(
        "London Boston Chicago Seattle Denver Sydney Mumbai Milan Munich Geneva Zurich Toronto "
        "Miami Dallas Osaka Seoul Lagos Bogota Manila Hanoi Riga Porto Lyon Naples Bristol Leeds "
        "Austin Houston Phoenix Detroit"
    ),
)
SYLLABLES = _each(
    "ba bel cor da del fan gor ha jun kal ken lan lo mar mil nor o pol ra ros san sil ta tor u va "
    "ver wel ya zen"
)
NAMES = _each(
    "Anna Bob Carol David Emma Frank Grace Henry Alice Jack Kate Liam Mary Nina Oscar Paul Rosa "
    "Sam Tom Victor"
)
WORDS = _each(
    "sun moon star tree fish bird cat dog book door lamp road hill lake rain snow wind fire stone "
    "gold iron milk bread salt apple grape house boat train horse sheep king queen river cloud "
    "leaf root seed corn rice plate cup knife chair table bed wall roof key lock ring coin hand "
    "foot head eye ear nose hair shoe coat hat glove belt clock bell drum song dance game ball "
    "kite rope nail saw"
)
PLEASANTRIES = {
    "Hello!": "Hello! How can I help you?",
    "Hi": "Hello! How can I help you?",
    "Who are you?": "I am a small test model.",
    "Thank you!": "You are welcome.",
    "Good morning": "Good morning! How can I help you?",
    "Goodbye": "Goodbye!",
    "What can you do?": "I can name colors, add numbers, reverse words and call tools.",
}
WEATHER = ("sunny", "cloudy", "rainy", "windy", "snowy", "foggy")
NO_TOOL = "I do not have a tool for that."


def _tool(name: str, description: str, **properties: str) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": sorted(properties),
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS: dict[str, dict[str, Any]] = {
    tool["function"]["name"]: tool
    for tool in (
        _tool("get_weather", "Get the current weather in a city.", city="string"),
        _tool("get_time", "Get the local time in a city.", city="string"),
        _tool("set_timer", "Set a timer.", minutes="integer"),
        _tool("play_song", "Play a song by title.", title="string"),
        _tool("send_message", "Send a message to a person.", to="string", text="string"),
    )
}
