"""From the syntax tree of a shell text to its commands: what runs for certain, what may, what does not.

`a && b`: b runs when a succeeds, and a command is taken to succeed unless it is a test. `a || b`: a's failure does not
count, unless b fails too (`exit 1`).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.sources.shell import parse
from seatrial.sources.shell_expand import expand
from seatrial.sources.shell_lists import REDIRECTS, Link, Member, chain, redirect_words
from seatrial.sources.shell_model import Assignment, Redirect, ShellCommand, ShellWord
from seatrial.sources.shell_nested import nested
from seatrial.sources.shell_tests import TESTS, answer, case_matches, evaluate
from seatrial.sources.shell_words import document, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tree_sitter import Node

    from seatrial.sources.dockerfile_text import Joined

Status = bool | Literal["assumed"] | None
"""Whether a command succeeds: known, assumed because it is no test, or None where it cannot be told."""

_DEEPEST = 40
_MOST = 4000
_UNROLLED = 20
_LEAVES = re.compile(r"\b(?:break|continue|return)\b")
_GLOB = re.compile(r"[*?\[{]")
_WORDS = frozenset(
    (
        "word",
        "number",
        "string",
        "raw_string",
        "ansi_c_string",
        "translated_string",
        "simple_expansion",
        "expansion",
        "command_substitution",
        "process_substitution",
        "arithmetic_expansion",
        "concatenation",
        "brace_expression",
        "variable_name",
        "regex",
        "extglob_pattern",
        "test_operator",
        "array",
    )
)


class _Context(msgspec.Struct, frozen=True, kw_only=True):
    certain: bool = True
    ignored: bool = False
    scope: tuple[int, ...] = ()
    reads: bool = False
    writes: bool = False
    captured: bool = False
    broken: bool = False
    redirects: tuple[Redirect, ...] = ()
    depth: int = 0

    def having(self, **changes: object) -> _Context:
        return msgspec.structs.replace(self, **changes)


class _State:
    """What is shared by a text and the texts inside it."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.found: list[ShellCommand] = []
        self.functions: dict[str, tuple[_Walk, Node]] = {}
        self.called: set[str] = set()
        self.running: list[str] = []
        self.scopes = 0
        self.touched: list[set[str]] = []


def walk(whole: Joined, variables: dict[str, str]) -> tuple[ShellCommand, ...]:
    """The commands of a text, see `shell.commands`."""
    state = _State(variables)
    _Walk(whole, state).run(_Context())
    for name, (inside, body) in list(state.functions.items()):
        if name not in state.called:
            inside.visit(body, _Context(certain=False))
    return tuple(state.found)


class _Walk:
    """One text."""

    def __init__(self, whole: Joined, state: _State) -> None:
        self.whole = whole
        self.state = state

    def run(self, context: _Context) -> None:
        self.statements(parse(self.whole.text).children, context)

    def raw(self, node: Node) -> str:
        return self.whole.text[node.start_byte : node.end_byte]

    def statements(self, nodes: Sequence[Node], context: _Context) -> Status:
        status: Status = True
        for at, node in enumerate(nodes):
            if not node.is_named or node.type == "comment":
                continue
            behind = at + 1 < len(nodes) and nodes[at + 1].type == "&"
            here = context.having(certain=False, ignored=True) if behind else context
            status = self.visit(node, here)
        return status

    def visit(self, node: Node, context: _Context) -> Status:
        if len(self.state.found) > _MOST:
            return None
        if context.depth > _DEEPEST:
            return None
        if node.type in ("list", "pipeline", "redirected_statement"):
            return self.chained(chain(node), context.having(depth=context.depth + 1))
        return self.member(Member(node), context.having(depth=context.depth + 1))

    # Chains and pipelines.

    def chained(self, links: list[Link], context: _Context) -> Status:
        status: Status = True
        for at, link in enumerate(links):
            maybe = False
            if at:
                if link.operator == "&&":
                    if status is False:
                        continue
                    maybe = status is None
                else:
                    if status is True:
                        continue
                    maybe = status is not False
            caught = any(later.operator == "||" and not self.fails(later) for later in links[at + 1 :])
            here = context
            if maybe or caught:
                here = context.having(certain=False, ignored=context.ignored or caught)
            with self.guarded(unsure=maybe):
                result = self.piped(link, here)
            status = _after(link.operator if at else "", status, result)
        return status

    def piped(self, link: Link, context: _Context) -> Status:
        if len(link.members) == 1:
            return self.member(link.members[0], context)
        status: Status = None
        last = len(link.members) - 1
        for at, member in enumerate(link.members):
            reads = context.reads if at == 0 else True
            writes = context.writes if at == last else True
            with self.subshell(context) as inner:
                status = self.member(member, inner.having(reads=reads, writes=writes))
        return status

    def fails(self, link: Link) -> bool:
        """Whether what stands after `||` fails in its turn: it ends with `exit 1`, `false` or `return 1`."""
        node = link.members[-1].node
        while node is not None and node.type in (
            "compound_statement",
            "subshell",
            "list",
            "redirected_statement",
        ):
            named = [child for child in node.named_children if child.type not in (*REDIRECTS, "comment")]
            node = named[-1] if named else None
        if node is None or node.type != "command":
            return False
        words = self.raw(node).split()
        return words[:1] == ["false"] or (words[:1] in (["exit"], ["return"]) and words[1:2] != ["0"])

    @contextmanager
    def subshell(self, context: _Context) -> Iterator[_Context]:
        self.state.scopes += 1
        before = dict(self.state.variables)
        yield context.having(scope=(*context.scope, self.state.scopes))
        self.state.variables.clear()
        self.state.variables.update(before)

    @contextmanager
    def guarded(self, *, unsure: bool) -> Iterator[None]:
        """After what was not sure to run, the variables that it set are no longer known."""
        state = self.state
        state.touched.append(set())
        yield
        touched = state.touched.pop()
        if unsure:
            for name in touched:
                state.variables.pop(name, None)
        if state.touched:
            state.touched[-1] |= touched

    # One command, simple or compound.

    def member(self, member: Member, context: _Context) -> Status:
        node = member.node
        if node is None or node.type in _SIMPLE:
            return self.simple(member, context)
        redirects = tuple(found for one in member.redirects for found in self.redirects(one))
        if redirects:
            context = context.having(redirects=(*context.redirects, *redirects))
        visit = _COMPOUND.get(node.type)
        if visit is not None:
            return visit(self, node, context)
        if node.type == "ERROR" or node.has_error:
            return self.statements(node.children, context.having(certain=False, broken=True))
        return None

    def block(self, node: Node, context: _Context) -> Status:
        if node.children and node.children[0].type == "((":
            return None
        return self.statements(node.children, context)

    def parenthesis(self, node: Node, context: _Context) -> Status:
        with self.subshell(context) as inner:
            return self.statements(node.children, inner)

    def negated(self, node: Node, context: _Context) -> Status:
        status = self.statements(node.children, context.having(certain=False, ignored=True))
        return (not status) if isinstance(status, bool) else None

    def tested(self, node: Node, context: _Context) -> Status:
        self.substitutions(node, context)
        return evaluate(self.whole, node, self.state.variables)

    def defined(self, node: Node, _context: _Context) -> Status:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self.state.functions[self.raw(name)] = (self, body)
            self.state.called.discard(self.raw(name))
        return True

    # if, case, for, while.

    def conditional(self, node: Node, context: _Context) -> Status:
        condition, body = _parts(node.children, "if", "then")
        branches: list[tuple[list[Node] | None, list[Node]]] = [(condition, body)]
        for child in node.children:
            if child.type == "elif_clause":
                branches.append(_parts(child.children, "elif", "then"))
            elif child.type == "else_clause":
                branches.append((None, child.children))
        asking = context.having(certain=False, ignored=True)
        unsure = False
        for tests, body in branches:
            status = True if tests is None else self.statements(tests, asking)
            if status is False:
                continue
            maybe = unsure or status is not True
            here = context.having(certain=False) if maybe else context
            with self.guarded(unsure=maybe):
                self.statements(body, here)
            if status is True:
                break
            unsure = True
        return "assumed"

    def cases(self, node: Node, context: _Context) -> Status:
        value = node.child_by_field_name("value")
        known = expand(word(self.whole, value), self.state.variables) if value is not None else None
        unsure = False
        for item in node.named_children:
            if item.type != "case_item":
                continue
            patterns, body = _item(item)
            matches: bool | None = None
            if known is not None and not known.unknown:
                matches = case_matches(self.whole, known.text, patterns, self.state.variables)
            if matches is False:
                continue
            maybe = unsure or matches is None
            here = context.having(certain=False) if maybe else context
            with self.guarded(unsure=maybe):
                self.statements(body, here)
            if matches:
                break
            unsure = True
        return "assumed"

    def repeated(self, node: Node, context: _Context) -> Status:
        body = node.child_by_field_name("body")
        variable = node.child_by_field_name("variable")
        if body is None:
            return None
        turns = self.turns(node, body)
        if variable is None or turns is None:
            return self.maybe(node, context)
        name = self.raw(variable)
        for turn in turns:
            value = Assignment(whole=self.whole, first=turn.first, last=turn.last, name=name, value=turn)
            self.emit(turn.first, turn.last, (), (value,), (), context)
            self.statements(body.children, context)
        return "assumed"

    def turns(self, node: Node, body: Node) -> list[ShellWord] | None:
        """The words of a `for` whose turns are known one by one."""
        if node.type != "for_statement" or _LEAVES.search(self.raw(body)):
            return None
        values = [child for child in node.children_by_field_name("value") if child.type in _WORDS]
        if not 0 < len(values) <= _UNROLLED or len(self.state.found) > _MOST // 4:
            return None
        words = [word(self.whole, value) for value in values]
        if any(one.literal is None or _GLOB.search(one.raw) for one in words):
            return None
        return words

    def maybe(self, node: Node, context: _Context) -> Status:
        """A loop whose turns are not known."""
        body = node.child_by_field_name("body")
        before = [child for child in node.named_children if child != body]
        asking = context.having(certain=False, ignored=True)
        if node.type == "while_statement":
            self.statements(before, asking)
        if body is not None:
            here = context.having(certain=False)
            with self.guarded(unsure=True):
                self.statements(body.children, here)
        return "assumed"

    # Simple commands.

    def simple(self, member: Member, context: _Context) -> Status:
        node = member.node
        nodes = list(node.children) if node is not None else []
        if node is not None and node.type == "variable_assignment":
            nodes = [node]
        own = [child for child in nodes if child.type in REDIRECTS]
        extra = [one for redirect in (*own, *member.redirects) for one in redirect_words(redirect)]
        words: list[ShellWord] = []
        assignments: list[Assignment] = []
        for child in sorted((*nodes, *extra), key=_start) if extra else nodes:
            if child.type == "variable_assignment":
                assignments.append(self.assignment(child))
            elif child.type == "command_name":
                if child.start_byte < child.end_byte:
                    words.append(word(self.whole, child.children[0]))
            elif child.type in _WORDS or (child.type in _KEYWORDS and not child.is_named):
                words.append(word(self.whole, child))
        redirects = tuple(
            found for redirect in (*own, *member.redirects) for found in self.redirects(redirect)
        )
        everything = [*(() if node is None else (node,)), *member.redirects]
        for one in everything:
            self.substitutions(one, context)
        if any(one.has_error and one.end_byte > one.start_byte for one in (*nodes, *member.redirects)):
            context = context.having(broken=True)
        first = min(one.start_byte for one in everything)
        last = max(
            (one.end_byte for one in nodes or everything if one.type != "heredoc_redirect"), default=first
        )
        command = self.emit(first, last, tuple(words), tuple(assignments), redirects, context)
        return self.follow(command, context)

    def assignment(self, node: Node) -> Assignment:
        value = node.child_by_field_name("value")
        name = node.child_by_field_name("name")
        end = name.end_byte if name is not None else node.start_byte
        append = self.whole.text.startswith("+=", end)
        held = (
            word(self.whole, value)
            if value is not None
            else ShellWord(whole=self.whole, first=node.end_byte, last=node.end_byte, parts=())
        )
        return Assignment(
            whole=self.whole,
            first=node.start_byte,
            last=node.end_byte,
            name=self.whole.text[node.start_byte : end],
            value=held,
            append=append,
        )

    def redirects(self, node: Node) -> Iterator[Redirect]:
        if node.type == "heredoc_redirect":
            yield self.heredoc(node)
            for child in node.children:
                if child.type == "file_redirect":
                    yield from self.redirects(child)
            return
        descriptor, operator, target = "", "", None
        for child in node.children:
            if child.type == "file_descriptor":
                descriptor = self.raw(child)
            elif not child.is_named and not operator:
                operator = self.raw(child)
            elif child.is_named and target is None:
                target = word(self.whole, child)
        yield Redirect(
            whole=self.whole,
            first=node.start_byte,
            last=target.last if target else node.end_byte,
            operator=operator,
            target=target,
            descriptor=descriptor,
        )

    def heredoc(self, node: Node) -> Redirect:
        parts = {child.type: child for child in node.children}
        body, start = parts.get("heredoc_body"), parts.get("heredoc_start")
        content = None
        if body is not None:
            plain = start is not None and re.search(r"[\"'\\]", self.raw(start)) is not None
            content = document(self.whole, body.start_byte, body.end_byte, body.children, plain=plain)
        return Redirect(
            whole=self.whole,
            first=node.start_byte,
            last=start.end_byte if start is not None else node.end_byte,
            operator="<<-" if "<<-" in parts else "<<",
            target=content,
            descriptor="",
        )

    def substitutions(self, node: Node, context: _Context) -> None:
        """The commands in `$(…)` and backquotes within a command."""
        raw = self.raw(node)
        if ("(" not in raw and "`" not in raw) or context.depth > _DEEPEST:
            return
        for found in _substitutions(node):
            with self.subshell(context) as inner:
                self.statements(
                    found.children,
                    inner.having(
                        captured=True, reads=False, writes=False, redirects=(), depth=context.depth + 2
                    ),
                )

    def emit(
        self,
        first: int,
        last: int,
        words: tuple[ShellWord, ...],
        assignments: tuple[Assignment, ...],
        redirects: tuple[Redirect, ...],
        context: _Context,
    ) -> ShellCommand:
        command = ShellCommand(
            whole=self.whole,
            first=first,
            last=last,
            words=words,
            assignments=assignments,
            redirects=(*redirects, *context.redirects),
            certain=context.certain and not context.ignored and not context.broken,
            ignored=context.ignored,
            scope=context.scope,
            reads=context.reads,
            writes=context.writes,
            captured=context.captured,
            broken=context.broken,
        )
        if words or assignments or redirects:
            self.state.found.append(command)
        if command.lasting:
            self.remember(assignments)
        return command

    def remember(self, assignments: tuple[Assignment, ...]) -> None:
        variables = self.state.variables
        for one in assignments:
            value = expand(one.value, variables)
            before = variables.get(one.name) if one.append else ""
            if value.unknown or before is None or one.value.raw.startswith("("):
                variables.pop(one.name, None)
            else:
                variables[one.name] = before + value.text
            for touched in self.state.touched[-1:]:
                touched.add(one.name)

    def follow(self, command: ShellCommand, context: _Context) -> Status:
        """What a command runs in its turn, and whether it succeeds."""
        name = command.name
        if name in self.state.functions:
            return self.call(name, context)
        if name in ("read", "unset", "source", "."):
            for one in command.words[1:]:
                self.state.variables.pop(one.raw, None)
        inner = nested(command) if context.depth < _DEEPEST else None
        if inner is not None:
            with self.subshell(context) as within:
                _Walk(inner, self.state).run(within.having(depth=context.depth + 4, redirects=()))
            return "assumed"
        if name in ("true", ":"):
            return True
        if name == "false":
            return False
        if name not in TESTS:
            return "assumed"
        if name != "test":
            return None
        values = [expand(one, self.state.variables) for one in command.words[1:]]
        return answer([None if value.unknown else value.text for value in values])

    def call(self, name: str, context: _Context) -> Status:
        state = self.state
        state.called.add(name)
        if name not in state.running and len(state.running) < _DEEPEST:
            inside, body = state.functions[name]
            state.running.append(name)
            inside.visit(body, context.having(depth=context.depth + 1))
            state.running.pop()
        return "assumed"


_SIMPLE = frozenset(
    ("command", "declaration_command", "unset_command", "variable_assignment", "variable_assignments")
)
_KEYWORDS = frozenset(("export", "declare", "typeset", "readonly", "local", "unset", "unsetenv"))
_COMPOUND: dict[str, Callable[[_Walk, Node, _Context], Status]] = {
    "compound_statement": _Walk.block,
    "do_group": _Walk.block,
    "program": _Walk.block,
    "subshell": _Walk.parenthesis,
    "negated_command": _Walk.negated,
    "test_command": _Walk.tested,
    "function_definition": _Walk.defined,
    "if_statement": _Walk.conditional,
    "case_statement": _Walk.cases,
    "for_statement": _Walk.repeated,
    "c_style_for_statement": _Walk.maybe,
    "while_statement": _Walk.maybe,
}


def _after(operator: str, before: Status, result: Status) -> Status:
    """The status of a chain after one more link that may have run."""
    if operator == "&&":
        return None if before is None else result
    if operator == "||":
        if before == "assumed":
            return "assumed"
        if before is None:
            return "assumed" if result in (True, "assumed") else None
    return result


def _parts(nodes: Sequence[Node], opening: str, middle: str) -> tuple[list[Node], list[Node]]:
    """What stands before and after `then`, without the clauses that follow."""
    before: list[Node] = []
    after: list[Node] = []
    into = before
    for node in nodes:
        if node.type == middle:
            into = after
        elif node.type not in (opening, "elif_clause", "else_clause"):
            into.append(node)
    return before, after


def _item(node: Node) -> tuple[list[Node], list[Node]]:
    """The patterns and the body of a case."""
    at = next((n for n, child in enumerate(node.children) if child.type == ")"), len(node.children))
    return [child for child in node.children[:at] if child.is_named], node.children[at + 1 :]


def _substitutions(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one.type in ("command_substitution", "process_substitution"):
            yield one
        elif one.type not in ("list", "pipeline", "compound_statement") or one == node:
            waiting += reversed([child for child in one.children if child.child_count])


def _start(node: Node) -> int:
    return node.start_byte
