"""Follow the source text in TorchScript archives, without ever running it.

torch writes a small language with Python's syntax there. Its text is parsed into a tree, which is
walked here: names stand for values of a `Program`, attributes for what the archive's pickle says,
and ``torch.…`` for the functions in `rl_ablation.policies.exports.functions`. Branches are followed
where the shapes of one observation decide them. What is not known is refused, and how much is
looked at is bounded.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from rl_ablation.errors import LabError
from rl_ablation.files import MIB
from rl_ablation.policies.exports.functions import FUNCTIONS
from rl_ablation.policies.exports.tensors import Kept, Torch
from rl_ablation.policies.sb3.pickles import Call, printable
from rl_ablation.policies.sb3.tensors import TorchFile, is_tensor

MAX_SOURCE, MAX_SOURCES = MIB // 4, MIB
"""Characters of a file of source text, and of all that are read; real ones have 10,000."""
MAX_LINE, MAX_DEPTH = 5_000, 20
"""Characters of a line, and how deep its brackets may be."""
MAX_LOOKED = 50_000
"""Expressions that are looked at; a policy of three layers has 300, an LSTM 500."""
MAX_CALLS = 20
"""Calls within calls."""


_HOOKS = ("__forward_hooks__", "__forward_pre_hooks__")


class Bound:
    """A method of an object of the archive, or a function of its text: what stands for a call."""

    def __init__(self, made: ast.FunctionDef, file: str, of: Call | None = None) -> None:
        self.made, self.file, self.of = made, file, of


class Dotted(str):
    """A name with dots that stands for something outside of the archive's objects."""


class Source:
    """The text of an archive, and a walk along it.

    Args:
        file: The archive.
        torch: Where the functions of torch put their steps.
    """

    def __init__(self, file: TorchFile, torch: Torch) -> None:
        self.file, self.torch = file, torch
        self._parsed: dict[str, ast.Module] = {}
        self._chars, self._looked, self._depth = MAX_SOURCES, MAX_LOOKED, 0
        self._constants: object = None

    def method(self, node: Call, name: str) -> Bound:
        """A method of an object, from the text of its class."""
        module, _, kind = node.dotted.rpartition(".")
        for part in self.text(module).body:
            if isinstance(part, ast.ClassDef) and part.name == kind:
                for made in part.body:
                    match made:
                        case ast.Assign(targets=[ast.Name(id=said)]) if said in _HOOKS:
                            raise LabError("has hooks on its modules, which are not supported")
                    if isinstance(made, ast.FunctionDef) and made.name == name:
                        return Bound(made, module, node)
        raise LabError(f"has no text of {printable(f'{node.dotted}.{name}', 120)}")

    def text(self, module: str) -> ast.Module:
        """The tree of a file of source text."""
        if module not in self._parsed:
            name = f"code/{module.replace('.', '/')}.py"
            content = self.file.member(name, MAX_SOURCE)
            self._chars -= len(content)
            if self._chars < 0:
                raise LabError(f"has more than {MAX_SOURCES // MIB} MiB of source text")
            self._parsed[module] = parsed(content, printable(name, 120))
        return self._parsed[module]

    def call(self, bound: Bound, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """What a method gives for some values."""
        if self._depth >= MAX_CALLS:
            raise LabError(f"its source calls more than {MAX_CALLS} deep")
        made = bound.made.args
        names = [part.arg for part in made.args]
        given = ([] if bound.of is None else [bound.of]) + list(args)
        if len(given) > len(names) or made.vararg or made.kwarg or made.kwonlyargs:
            raise self.unknown(bound.made)
        values = dict(zip(names, given, strict=False))
        defaults = dict(zip(reversed(names), reversed(made.defaults), strict=False))
        for name in names:
            if name in named:
                values[name] = named[name]
            elif name not in values:
                if name not in defaults:
                    raise LabError(f"its source calls {printable(bound.made.name, 40)} wrongly")
                values[name] = self.value(defaults[name], {})
        self._depth += 1
        try:
            done, result = self.block(bound.made.body, values)
        finally:
            self._depth -= 1
        return result if done else None

    def block(self, body: Sequence[ast.stmt], values: dict[str, Any]) -> tuple[bool, Any]:
        """Follow statements; gives whether they returned, and what."""
        for line in body:
            match line:
                case ast.Assign(targets=[target], value=value):
                    self.assign(target, self.value(value, values), values)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self.assign(target, self.value(value, values), values)
                case ast.Expr(value=value):
                    self.value(value, values)
                case ast.Return(value=None):
                    return True, None
                case ast.Return(value=ast.expr() as value):
                    return True, self.value(value, values)
                case ast.If(test=test, body=then, orelse=otherwise):
                    if type(truth := self.value(test, values)) is not bool:
                        raise self.unknown(test)
                    done, result = self.block(then if truth else otherwise, values)
                    if done:
                        return True, result
                case ast.Pass():
                    pass
                case _:
                    raise self.unknown(line)
        return False, None

    def assign(self, target: ast.expr, value: Any, values: dict[str, Any]) -> None:
        """Give a name, several names, or an attribute of an object a value."""
        match target:
            case ast.Name(id=name):
                values[name] = value
            case ast.Tuple(elts=parts) if isinstance(value, list | tuple):
                if len(parts) != len(value):
                    raise self.unknown(target)
                for part, each in zip(parts, value, strict=True):
                    self.assign(part, each, values)
            case ast.Attribute(value=of, attr=name):
                node = self.value(of, values)
                if not isinstance(node, Call):
                    raise self.unknown(target)
                self.torch.write(self.attribute(node, name), value)
            case _:
                raise self.unknown(target)

    def value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        """What an expression stands for."""
        self._looked -= 1
        if self._looked < 0:
            raise LabError(f"its source has more than {MAX_LOOKED:,} expressions to follow")
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as plain):
                return plain
            case ast.Name(id=name):
                return values[name] if name in values else Dotted(name)
            case ast.Attribute(value=of, attr=name):
                owner = self.value(of, values)
                if isinstance(owner, Call):
                    return self.attribute(owner, name)
                if owner == "CONSTANTS" and isinstance(owner, Dotted):
                    return self.constant(name)
                if isinstance(owner, Dotted):
                    return Dotted(f"{owner}.{name}")
            case ast.Tuple(elts=parts):
                return tuple(self.value(part, values) for part in parts)
            case ast.List(elts=parts):
                return [self.value(part, values) for part in parts]
            case ast.UnaryOp(op=ast.USub(), operand=part):
                if isinstance(number := self.value(part, values), int | float):
                    return -number
            case ast.Subscript(value=of, slice=at):
                found, place = self.value(of, values), self.value(at, values)
                if isinstance(found, list | tuple) and type(place) is int:
                    if -len(found) <= place < len(found):
                        return found[place]
                elif isinstance(found, Dotted):  # a type
                    return found
            case ast.Call(func=function, args=args, keywords=keywords):
                return self.called(function, args, keywords, values)
        raise self.unknown(node)

    def called(
        self,
        function: ast.expr,
        args: Sequence[ast.expr],
        keywords: Sequence[ast.keyword],
        values: Mapping[str, Any],
    ) -> Any:
        """What a call stands for."""
        given = [self.value(arg, values) for arg in args]
        named = {str(word.arg): self.value(word.value, values) for word in keywords}
        if isinstance(function, ast.Attribute):
            owner = self.value(function.value, values)
            if isinstance(owner, Call):
                return self.call(self.method(owner, function.attr), given, named)
        name = self.value(function, values)
        if not isinstance(name, Dotted):
            raise self.unknown(function)
        if name == "getattr" and len(given) == 2 and isinstance(given[0], Call):
            return self.attribute(given[0], given[1])
        if name in ("annotate", "unchecked_cast") and len(given) == 2:
            return given[1]
        if name == "uninitialized":
            return None
        if name.startswith("__torch__."):
            module, _, made = name.rpartition(".")
            for part in self.text(module).body:
                if isinstance(part, ast.FunctionDef) and part.name == made:
                    return self.call(Bound(part, module), given, named)
        if name not in FUNCTIONS:
            raise LabError(f"its source is none that is known here: it uses {printable(name, 60)}")
        try:
            return FUNCTIONS[name](self.torch, *given, **named)
        except LabError as error:
            raise LabError(f"{printable(name, 60)}: {error}") from None
        except (TypeError, ValueError, AttributeError, IndexError):
            raise LabError(f"its source calls {printable(name, 60)} in an unknown way") from None

    def attribute(self, node: Call, name: object) -> Any:
        """What the archive's pickle says of an object."""
        state = node.state if isinstance(node.state, dict) else {}
        if not isinstance(name, str) or name not in state:
            return self.final(node, name)
        return self.plain(state[name], (id(node), name))

    def final(self, node: Call, name: object) -> Any:
        """What the text of an object's class says is fixed."""
        module, _, kind = node.dotted.rpartition(".")
        for part in self.text(module).body:
            if isinstance(part, ast.ClassDef) and part.name == kind:
                for line in part.body:
                    match line:
                        case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value):
                            if found == name:
                                return self.value(value, {})
        raise LabError(f"its source needs {printable(name, 60)}, which the file does not have")

    def plain(self, node: object, key: tuple[int, str]) -> Any:
        """A node of the pickle as the walk has it: numbers, tensors, lists, objects."""
        if is_tensor(node):
            return self.torch.kept(key, lambda: self.file.decoded({key[1]: node})[key[1]])
        if isinstance(node, Call) and node.dotted.startswith("torch.jit._pickle."):
            return self.plain(node.args[0], key)
        if isinstance(node, list | tuple):
            return [self.plain(part, (id(part), key[1])) for part in node]
        if node is None or isinstance(node, bool | int | float | str):
            return node
        if isinstance(node, Call) and node.dotted.startswith("__torch__."):
            return node
        raise LabError(f"its source needs {printable(key[1], 60)}, which cannot be read")

    def constant(self, name: str) -> Kept:
        """A tensor that the source text names by a number."""
        if self._constants is None:
            self._constants = self.file.pickled("constants.pkl", MIB)
        place = name[1:]
        if not isinstance(self._constants, tuple) or not place.isdigit() or len(place) > 6:
            raise LabError("its constants are damaged")
        if int(place) >= len(self._constants):
            raise LabError(f"its source needs the constant {printable(name, 20)}")
        node, key = self._constants[int(place)], (id(self._constants), name)
        return self.torch.kept(key, lambda: self.file.decoded({name: node}, "constants/")[name])

    @staticmethod
    def unknown(node: ast.AST) -> LabError:
        """What to say of a piece of text that is not known."""
        line = getattr(node, "lineno", 0)
        kind = type(node).__name__
        return LabError(f"its source is none that is known here (line {line}: {kind})")


def parsed(content: bytes, where: str) -> ast.Module:
    """The tree of a text; a LabError if it is none, or nested too deep to be looked at."""
    text = content.decode("utf-8", "replace")
    depth = deepest = 0
    for line in text.splitlines():
        if len(line) > MAX_LINE:
            raise LabError(f"{where}: a line of more than {MAX_LINE:,} characters")
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    # A tree is as deep as its brackets, its signs before a number, and its indented blocks.
    if deepest > MAX_DEPTH or "\\" in text or "\0" in text or any(s in text for s in _DEEP):
        raise LabError(f"{where}: source text that is none of torch's (too deep, or odd signs)")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise LabError(f"{where}: source text that cannot be parsed") from None
    if not all(isinstance(part, ast.ClassDef | ast.FunctionDef) for part in tree.body):
        raise LabError(f"{where}: source text with more than classes and functions")
    return tree


_DEEP = ("-----", "~~~~", "++++", "not not not", "\n" + " " * 100, "\n" + "\t" * 20)
