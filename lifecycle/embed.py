"""Write on-create.sh and on-start.sh into stack.yaml, between its markers: python lifecycle/embed.py

CloudFormation takes no parameter longer than 4,096 bytes, so the template itself must carry the scripts. A test
fails when the two copies differ. Lines that are only a comment stay behind: the template has a limit of 51,200 bytes.
"""

import re
from pathlib import Path

FOLDER = Path(__file__).parent
TEMPLATE = FOLDER / "stack.yaml"


def embedded(script: str) -> str:
    """The script as the template carries it: without the lines that are only a comment."""
    return "".join(line for line in script.splitlines(keepends=True) if not line.lstrip().startswith("#"))


def render(template: str) -> str:
    """The template with the scripts as they are now."""

    def fill(match: re.Match[str]) -> str:
        indent, name = match["indent"], match["name"]
        lines = [f"{indent}# >>> {name} (written by embed.py)", f"{indent}- |"]
        for line in embedded((FOLDER / name).read_text(encoding="utf-8")).splitlines():
            lines.append(f"{indent}  {line}" if line else "")
        return "\n".join([*lines, f"{indent}# <<< {name}"])

    pattern = re.compile(r"^(?P<indent> *)# >>> (?P<name>\S+)[^\n]*\n.*?^ *# <<< (?P=name)$", re.MULTILINE | re.DOTALL)
    return pattern.sub(fill, template)


if __name__ == "__main__":
    TEMPLATE.write_text(render(TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
