//! Writes the page of health rules: `cargo run -p sh0-build --example rules > docs/health-rules.md`.

// An example talks to the person who runs it; a test reads the page.
#![allow(clippy::print_stdout, dead_code, unreachable_pub)]

use std::fmt::Write;

use sh0_build::rule_table;

const HEAD: &str = "\
# Health rules

What `sh0 check` looks for in a source tree, before anything is built. This page is written by
`cargo run -p sh0-build --example rules`; a test compares it with the rules.

## Score

A tree begins with 100. Every rule that found something takes away the weight of its gravest finding, and half as much
again (rounded up) when it found more than one: critical 40, high 15, medium 5, low 2, info 0. It ends at 0.

`sh0 check --fail-on LEVEL` fails when something at least as grave was found.

## Deployments

Every deployment from source is checked before anything is built: its score, counts and worst findings are told and kept with
it. Nothing is blocked unless the owner wants it, in `sh0.toml`:

```toml
[check]
fail_on = \"high\" # info, low, medium, high, critical, or never
```

or in the settings of the app, which come first: `sh0 settings -a APP --fail-on high`. A deployment with a finding as grave
as that fails before its build, and the old release serves on. `sh0 check` follows `fail_on` of `sh0.toml` too, unless
`--fail-on` says something else. Where the app is a member of a workspace, `[check]` of its own `sh0.toml` counts in place of
the top's. A level or a key of `[check]` that does not exist is an error, of checks and of deployments.

## What is fine is said with a reason

In a comment of the line itself, or of the line before where that is nothing but the comment:

```python
SECRET_KEY = \"only-for-the-demo\"  # sh0:ignore SEC08 the demo has no users
```

Or in `sh0.toml`, for a file, a folder or a pattern; without `path`, everywhere:

```toml
[check]
ignore = [
    { rule = \"SEC05\", path = \"docs\", reason = \"the vendor's public demo\" },
]
```

A rule goes by its id or its name. A path begins at the folder of the app, or at the top as in findings. An entry without a
reason allows nothing, and is itself reported; so is a path where no file is. An entry with any other key, or with a value
that is not a text, is an error.
";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut category = None;
    let mut rules = rule_table();
    rules.sort_by_key(|rule| rule.category);
    for rule in rules {
        if category != Some(rule.category) {
            category = Some(rule.category);
            let _ = write!(
                page,
                "\n## {}\n\n| id | name | severity | finds | why | fix |\n| --- | --- | --- | --- | --- | --- |\n",
                rule.category
            );
        }
        let cell = |text: &str| text.replace('|', "\\|");
        let (title, why, fix) = (cell(rule.title), cell(rule.why), cell(rule.fix));
        let _ = writeln!(page, "| {} | `{}` | {} | {title} | {why} | {fix} |", rule.id, rule.name, rule.severity);
    }
    page
}

fn main() {
    print!("{}", page());
}
