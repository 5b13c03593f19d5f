"""What the design says of the code as a whole: who may import whom, what no file may do, how long things may be."""

import ast
from pathlib import Path

import pytest

import metricsearch

PACKAGE = Path(metricsearch.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
KERNELS = "_kernels.py"  # jitted loops only; numba cannot split them freely, so their length is not limited
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 400, 60

# The runner of experiments writes reports, so `report` lies below it; reports know results by their tables only.
# A part may import from parts of lower rows only, and from itself; parts of one row do not know each other.
LAYERS = [
    ["errors"],
    ["files", "locks", "validation", "accelerate", "provenance"],
    ["manifests", "array_folders", "progress", "threads"],
    ["spaces"],
    ["indexes"],
    ["partition", "store", "datasets", "report", "vocabulary", "verification"],
    ["sketches"],
    ["ppp", "evaluation", "vocabtree", "features", "refinement"],
    ["collection", "baselines"],
    ["photos"],
    ["experiment"],
    ["bench"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def part_of(path):
    """Name of the folder or module directly below the package; "" for the package itself."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py").replace("__init__", "")


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path):
    """(line, dotted name) of everything that a module imports, also inside functions."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def place(path, line):
    return f"{path.relative_to(PACKAGE.parent)}:{line}"


def test_every_part_has_its_place_in_the_layers():
    assert {part_of(path) for path in MODULES} - {""} == set(LEVEL)


def test_imports_point_down_only():
    wrong = []
    for path in MODULES:
        part = part_of(path)
        if not part:  # the package itself offers names of all parts
            continue
        for line, name in imports_of(path):
            words = name.split(".")
            if words[0] != "metricsearch" or words[1] == part:
                continue
            if words[1] not in LEVEL or LEVEL[words[1]] >= LEVEL[part]:
                wrong.append(f"{place(path, line)}: {part} imports {name}")
    assert wrong == []


def test_ppp_and_store_do_not_know_each_other():
    for part, other in (("ppp", "store"), ("store", "ppp")):
        for path in (PACKAGE / part).rglob("*.py"):
            assert not [name for _, name in imports_of(path) if name.startswith(f"metricsearch.{other}")], path


def test_no_file_can_run_code():
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    for path in MODULES:
        assert not [name for _, name in imports_of(path) if name.split(".")[0] in forbidden], path
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "compile", "__import__"}, place(path, node.lineno)
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), place(path, node.value.lineno)
                assert node.value.value is False, place(path, node.value.lineno)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "load":
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id == "np":
                    assert "allow_pickle" in {key.arg for key in node.keywords}, place(path, node.lineno)


def test_numba_is_set_up_in_one_place():
    for path in MODULES:
        found = [(line, name) for line, name in imports_of(path) if name.split(".")[0] == "numba"]
        if path.name == "accelerate.py":
            assert [name for _, name in found] == ["numba.njit"]
        elif path.name == KERNELS:  # types and intrinsics are no options
            assert {name for _, name in found} <= {"numba.types", "numba.extending.intrinsic"}, path
        else:
            assert found == [], path
        if path.name != "accelerate.py":
            text = path.read_text(encoding="utf-8")
            for word in ("fastmath=", "parallel=True", "prange", "njit("):
                assert word not in text, f"{path}: {word}"


def test_kernel_files_hold_kernels_only():
    for path in MODULES:
        if path.name == KERNELS:
            names = [name for _, name in imports_of(path) if name.startswith("metricsearch.")]
            assert all(name.startswith("metricsearch.accelerate.") for name in names), path
        else:
            decorated = [
                node.lineno
                for node in ast.walk(tree_of(path))
                if isinstance(node, ast.FunctionDef)
                for decorator in node.decorator_list
                if isinstance(decorator, ast.Name) and decorator.id in {"kernel", "fast_kernel"}
            ]
            assert decorated == [], f"{path}: a kernel outside {KERNELS}"


def test_modules_are_not_too_long():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {str(path): n for path, n in lengths.items() if n > MAX_MODULE_LINES} == {}


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_functions_are_not_too_long():
    long = [
        f"{place(path, node.lineno)}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for path in MODULES
        if path.name != KERNELS
        for node in functions(tree_of(path))
        if node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long == []


def public_things(node, prefix=""):
    """Public functions, classes and methods that are defined in a module, not inside functions."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public_things(child, f"{child.name}.")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_everything_public_is_explained(path):
    tree = tree_of(path)
    assert ast.get_docstring(tree), path
    missing = [
        f"{name} ({place(path, node.lineno)})" for name, node in public_things(tree) if not ast.get_docstring(node)
    ]
    assert missing == []


def test_the_library_never_prints_and_never_asserts():
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            assert not isinstance(node, ast.Assert), place(path, node.lineno)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", place(path, node.lineno)


def test_random_numbers_come_from_seeds_only():
    allowed = {"default_rng", "Generator", "SeedSequence"}
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "random"
                and isinstance(node.value.value, ast.Name)
                and node.value.value.id == "np"
            ):
                assert node.attr in allowed, place(path, node.lineno)
        assert not [name for _, name in imports_of(path) if name.split(".")[0] == "random"], path


def test_what_the_package_offers_is_what_it_lists():
    for name in metricsearch.__all__:
        assert getattr(metricsearch, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Colection'"):
        metricsearch.Colection  # noqa: B018
