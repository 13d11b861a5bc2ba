import copy
import pickle

from lrdsl.errors import Note, ScheduleError


def test_rendering_is_the_one_of_the_specification():
    text = "warmup(500) >> cosin(10000, min=1e-6) | plateau(patience=3)"
    error = ScheduleError("E0204", "unknown function `cosin`", (15, 20), "did you mean `cosine`?").within(text)
    assert str(error) == (
        "E0204: unknown function `cosin`\n"
        "  |\n"
        "1 | warmup(500) >> cosin(10000, min=1e-6) | plateau(patience=3)\n"
        "  |                ^^^^^ did you mean `cosine`?"
    )


def test_only_the_first_line_without_text_or_span():
    assert str(ScheduleError("E0801", "expected a step >= 0, got -1")) == "E0801: expected a step >= 0, got -1"
    assert str(ScheduleError("E0801", "wrong", text="hold()", hint="help")) == "E0801: wrong (help)"
    assert str(ScheduleError("E0801", "wrong", (0, 4))) == "E0801: wrong"


def test_source_is_shown():
    error = ScheduleError("E0100", "empty schedule", (0, 0)).within("", "train.yaml: lr")
    assert str(error) == "E0100: empty schedule\n  --> train.yaml: lr\n  |\n1 |\n  | ^"
    assert str(ScheduleError("E0402", "wrong", source="train.yaml")) == "E0402: wrong [train.yaml]"


def test_source_survives_attaching_the_text():
    assert ScheduleError("E0100", "empty schedule", (0, 0), source="a.yaml").within("").source == "a.yaml"


def test_the_right_line_of_many():
    text = "\n".join(["let a = 5;"] * 11 + ["cosine(b)"])
    at = text.index("b)")
    lines = str(ScheduleError("E0201", "unknown name `b`", (at, at + 1), text=text)).split("\n")
    assert lines[1:] == ["   |", "12 | cosine(b)", "   |        ^"]


def test_a_span_over_several_lines_is_marked_on_its_first():
    lines = str(ScheduleError("E0409", "too long", (2, 9), text="a >> b\r\n>> c")).split("\n")
    assert lines[2:] == ["1 | a >> b", "  |   ^^^^"]


def test_carets_line_up_under_wide_and_combining_characters():
    text = '"日本" "e\u0301" $'
    lines = str(ScheduleError("E0101", "unexpected", (10, 11), text=text)).split("\n")
    assert lines[3] == "  | " + " " * len('"xxxx" "e" ') + "^"


def test_tabs_stay_tabs_and_controls_do_not_reach_the_terminal():
    lines = str(ScheduleError("E0101", "unexpected", (2, 3), text="\t\x1b$")).split("\n")
    assert lines[2:] == ["1 | \t\ufffd$", "  | \t ^"]


def test_messages_hints_and_sources_are_printable_too():
    error = ScheduleError("E0213", "`\x1b[2J` is \ud800 set", (0, 1), "\r`\x07`", "lr", "\udce9.yaml")
    for shown in (str(error), str(error.within("lr"))):
        assert shown.startswith("E0213: `\ufffd[2J` is \ufffd set\n  --> \ufffd.yaml\n")
        assert shown.endswith(" \ufffd`\ufffd`")
    assert str(ScheduleError("E0213", "\x1b", None, "\x07")) == "E0213: \ufffd (\ufffd)"


def test_an_empty_span_has_one_caret_after_the_text():
    assert str(ScheduleError("E0103", "unexpected end", (6, 6), text="a + b ")).endswith("1 | a + b\n  |       ^")


def test_errors_can_be_pickled_and_copied():
    error = ScheduleError("E0100", "empty schedule", (0, 0), "`hold()`", "", "a.yaml")
    for twin in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert str(twin) == str(error)
        assert (twin.code, twin.span, twin.hint, twin.text) == (error.code, error.span, error.hint, error.text)


def test_notes_are_rendered_like_errors():
    note = Note("N0704", "update 0 has lr 0", (0, 9), "`warmup(11) | skip(1)` starts above it")
    assert str(note) == "N0704: update 0 has lr 0 (`warmup(11) | skip(1)` starts above it)"
    assert note.render("warmup(5)").split("\n")[3].startswith("  | ^^^^^^^^^ `warmup")


def test_a_long_line_is_shown_around_its_span():
    text = "a" * 500 + " $ " + "b" * 500
    lines = str(ScheduleError("E0101", "unexpected", (501, 502), "hint", text=text)).split("\n")
    shown, carets = lines[2].removeprefix("1 | "), lines[3].removeprefix("  | ")
    assert shown == "..." + "a" * 39 + " $ " + "b" * 58 + "..."
    assert shown[carets.index("^")] == "$" and carets.endswith("^ hint")


def test_a_span_that_is_cut_off_has_carets_up_to_there():
    for start, end in [(0, 1000), (990, 1000), (0, 1)]:
        _, _, line, carets = str(ScheduleError("E0101", "unexpected", (start, end), text="x" * 1000)).split("\n")
        marked = {line[i] for i, c in enumerate(carets) if c == "^"}
        assert marked == {"x"} and len(line) <= 4 + 3 + 100 + 3
