"""From the syntax tree of a shell text to its commands: what runs for certain, what may, what does not.

`a && b`: b runs when a succeeds, and a command is taken to succeed unless it is a test. `a || b`: a's failure does not
count, unless b fails too (`exit 1`).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from seatrial.sources.shell import command_first, parse
from seatrial.sources.shell_expand import expand
from seatrial.sources.shell_lists import Member, chain, rescued
from seatrial.sources.shell_model import Assignment, ShellCommand
from seatrial.sources.shell_nested import nested
from seatrial.sources.shell_simple import SIMPLE, WORDS, redirects, simple, substitutions
from seatrial.sources.shell_state import Context, State, after
from seatrial.sources.shell_tests import TESTS, answer, case_matches, evaluate
from seatrial.sources.shell_words import word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tree_sitter import Node

    from seatrial.sources.dockerfile_text import Joined
    from seatrial.sources.shell_lists import Link
    from seatrial.sources.shell_model import ShellWord
    from seatrial.sources.shell_state import Status

_DEEPEST = 40
_ANSWERS = {"true": True, ":": True, "false": False}
_MOST = 4000
_UNROLLED = 20
_LEAVES = re.compile(r"\b(?:break|continue|return)\b")
_GLOB = re.compile(r"[*?\[{]")


def walk(whole: Joined, variables: dict[str, str]) -> tuple[ShellCommand, ...]:
    """The commands of a text, see `shell.commands`."""
    state = State(variables)
    _Walk(whole, state).run(Context())
    for name, (inside, body) in list(state.functions.items()):
        if name not in state.called:
            _Walk(inside, state).visit(body, Context(certain=False))
    return tuple(state.found)


class _Walk:
    """One text."""

    def __init__(self, whole: Joined, state: State) -> None:
        self.whole = whole
        self.state = state

    def run(self, context: Context) -> Status:
        self.whole = command_first(self.whole)
        return self.statements(parse(self.whole.text).children, context)

    def raw(self, node: Node) -> str:
        return self.whole.text[node.start_byte : node.end_byte]

    def statements(self, nodes: Sequence[Node], context: Context) -> Status:
        status: Status = True
        for at, node in enumerate(nodes):
            if not node.is_named or node.type == "comment":
                continue
            following = nodes[at + 1].type if at + 1 < len(nodes) else ""
            if following == "ERROR":
                # What could not be parsed may belong to the command before it, as a quote that is not closed.
                status = self.visit(node, context.having(broken=True))
            elif following == "&":
                with self.subshell(context.having(certain=False, ignored=True)) as inner:
                    self.visit(node, inner)
                status = True
            else:
                status = self.visit(node, context)
        return status

    def visit(self, node: Node, context: Context) -> Status:
        if len(self.state.found) > _MOST:
            return None
        if context.depth > _DEEPEST:
            return None
        if node.type in ("list", "pipeline", "redirected_statement"):
            return self.chained(chain(node), context.having(depth=context.depth + 1))
        return self.member(Member(node), context.having(depth=context.depth + 1))

    # Chains and pipelines.

    def chained(self, links: list[Link], context: Context) -> Status:
        status: Status = True
        caught_after = rescued(self.whole, links)
        for at, link in enumerate(links):
            maybe, caught = False, caught_after[at]
            if at:
                if link.operator == "&&":
                    if status is False:
                        continue
                    maybe = status is None
                else:
                    if status is True:
                        continue
                    maybe = status is not False
            here = context
            if maybe or caught:
                here = context.having(certain=False, ignored=context.ignored or caught)
            with self.state.guarded(unsure=maybe):
                result = self.piped(link, here)
            status = after(link.operator if at else "", status, result)
        return status

    def piped(self, link: Link, context: Context) -> Status:
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

    @contextmanager
    def subshell(self, context: Context) -> Iterator[Context]:
        self.state.scopes += 1
        before = dict(self.state.variables)
        yield context.having(scope=(*context.scope, self.state.scopes))
        self.state.variables.clear()
        self.state.variables.update(before)

    # One command, simple or compound.

    def member(self, member: Member, context: Context) -> Status:
        node = member.node
        if node is None or node.type in SIMPLE:
            return self.simple(member, context)
        around = tuple(found for one in member.redirects for found in redirects(self.whole, one))
        if around:
            context = context.having(redirects=(*context.redirects, *around))
        if _incomplete(node):
            context = context.having(certain=False, broken=True)
        visit = _COMPOUND.get(node.type)
        if visit is not None:
            return visit(self, node, context)
        if node.type == "ERROR" or node.has_error:
            return self.statements(node.children, context.having(certain=False, broken=True))
        return None

    def block(self, node: Node, context: Context) -> Status:
        if node.children and node.children[0].type == "((":
            return None
        return self.statements(node.children, context)

    def parenthesis(self, node: Node, context: Context) -> Status:
        with self.subshell(context) as inner:
            return self.statements(node.children, inner)

    def negated(self, node: Node, context: Context) -> Status:
        status = self.statements(node.children, context.having(certain=False, ignored=True))
        return (not status) if isinstance(status, bool) else None

    def tested(self, node: Node, context: Context) -> Status:
        for found in substitutions(self.whole, Member(node)):
            self.substituted(found, context)
        return evaluate(self.whole, node, self.state.variables)

    def defined(self, node: Node, _context: Context) -> Status:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self.state.functions[self.raw(name)] = (self.whole, body)
            self.state.called.discard(self.raw(name))
        return True

    # if, case, for, while.

    def conditional(self, node: Node, context: Context) -> Status:
        condition, body = _parts(node.children, "if", "then")
        branches: list[tuple[list[Node] | None, list[Node]]] = [(condition, body)]
        for child in node.children:
            if child.type == "elif_clause":
                branches.append(_parts(child.children, "elif", "then"))
            elif child.type == "else_clause":
                branches.append((None, child.children))
        asking = context.having(certain=False, ignored=True)
        unsure = False
        results: list[Status] = []
        for tests, body in branches:
            status: Status = True
            if tests is not None:
                with self.state.guarded(unsure=unsure):
                    status = self.statements(tests, asking)
            if status is False:
                continue
            maybe = unsure or status is not True
            here = context.having(certain=False) if maybe else context
            with self.state.guarded(unsure=maybe):
                results.append(self.statements(body, here))
            if status is True:
                break
            unsure = True
        return _together(results, unsure=unsure)

    def cases(self, node: Node, context: Context) -> Status:
        value = node.child_by_field_name("value")
        known = expand(word(self.whole, value), self.state.variables) if value is not None else None
        unsure = False
        results: list[Status] = []
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
            with self.state.guarded(unsure=maybe):
                results.append(self.statements(body, here))
            if matches:
                break
            unsure = True
        return _together(results, unsure=unsure)

    def repeated(self, node: Node, context: Context) -> Status:
        body = node.child_by_field_name("body")
        variable = node.child_by_field_name("variable")
        if body is None:
            return None
        turns = self.turns(node, body)
        if variable is None or turns is None:
            return self.maybe(node, context)
        name = self.raw(variable)
        status: Status = None
        for turn in turns:
            turned = Assignment(whole=self.whole, first=turn.first, last=turn.last, name=name, value=turn)
            self.emit(
                ShellCommand(
                    whole=self.whole, first=turn.first, last=turn.last, words=(), assignments=(turned,)
                ),
                context,
            )
            status = self.statements(body.children, context)
        return status

    def turns(self, node: Node, body: Node) -> list[ShellWord] | None:
        """The words of a `for` whose turns are known one by one."""
        if node.type != "for_statement" or _LEAVES.search(self.raw(body)):
            return None
        values = [child for child in node.children_by_field_name("value") if child.type in WORDS]
        if not 0 < len(values) <= _UNROLLED or len(self.state.found) > _MOST // 4:
            return None
        words = [word(self.whole, value) for value in values]
        if any(one.literal is None or _GLOB.search(one.raw) for one in words):
            return None
        return words

    def maybe(self, node: Node, context: Context) -> Status:
        """A loop whose turns are not known."""
        body = node.child_by_field_name("body")
        before = [child for child in node.named_children if child != body]
        asking = context.having(certain=False, ignored=True)
        if node.type == "while_statement":
            self.statements(before, asking)
        if body is not None:
            here = context.having(certain=False)
            with self.state.guarded(unsure=True):
                self.statements(body.children, here)
        return "assumed"

    # Simple commands.

    def simple(self, member: Member, context: Context) -> Status:
        command = simple(self.whole, member)
        if context.depth <= _DEEPEST:
            for found in substitutions(self.whole, member):
                self.substituted(found, context)
        return self.follow(self.emit(command, context), context)

    def substituted(self, node: Node, context: Context) -> None:
        broken = context.broken or _incomplete(node)
        with self.subshell(context) as inner:
            self.statements(
                node.children,
                inner.having(
                    captured=True,
                    broken=broken,
                    reads=False,
                    writes=False,
                    redirects=(),
                    depth=context.depth + 2,
                ),
            )

    def emit(self, command: ShellCommand, context: Context) -> ShellCommand:
        """Note a command with what its surroundings say of it."""
        broken = command.broken or context.broken
        command = msgspec.structs.replace(
            command,
            redirects=(*command.redirects, *context.redirects),
            certain=context.certain and not context.ignored and not broken,
            ignored=context.ignored,
            scope=context.scope,
            reads=context.reads,
            writes=context.writes,
            captured=context.captured,
            broken=broken,
        )
        if command.words or command.assignments or command.redirects:
            self.state.found.append(command)
        if command.lasting:
            self.state.remember(command.assignments)
        return command

    def follow(self, command: ShellCommand, context: Context) -> Status:
        """What a command runs in its turn, and whether it succeeds."""
        name = command.name
        if name in self.state.functions:
            return self.call(name, context)
        if name in ("read", "unset"):
            for one in command.words[1:]:
                self.state.forget(one.raw)
        inner = nested(command) if context.depth < _DEEPEST else None
        if inner is not None:
            with self.subshell(context) as within:
                return _Walk(inner, self.state).run(within.having(depth=context.depth + 8, redirects=()))
        elif name in _ANSWERS:
            return _ANSWERS[name]
        elif name == "test":
            values = [expand(one, self.state.variables) for one in command.words[1:]]
            return answer([None if value.unknown else value.text for value in values])
        return None if name in TESTS else "assumed"

    def call(self, name: str, context: Context) -> Status:
        state = self.state
        state.called.add(name)
        if name in state.running or len(state.running) >= _DEEPEST:
            return "assumed"
        inside, body = state.functions[name]
        state.running.append(name)
        status = _Walk(inside, state).visit(body, context.having(depth=context.depth + 1))
        state.running.pop()
        return status


_COMPOUND: dict[str, Callable[[_Walk, Node, Context], Status]] = {
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


def _incomplete(node: Node) -> bool:
    """Whether a part of a compound command is missing, or cannot be parsed."""
    return node.has_error and any(child.is_missing or child.type == "ERROR" for child in node.children)


def _together(results: list[Status], *, unsure: bool) -> Status:
    """The status of a choice, of whose branches these are the results of those that may run."""
    if not results:
        return True
    if not unsure:
        return results[-1]
    return "assumed" if all(result in (True, "assumed") for result in results) else None


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
