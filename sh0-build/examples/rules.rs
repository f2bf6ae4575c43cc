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

The tables below name the severity of most findings of a rule. Where the app is not at stake as much, one counts less:

| what | severity |
| --- | --- |
| a key, token or password of a known form (SEC01-03, SEC05, SEC07, SEC15, SEC16) in tests or documents | medium |
| an env file of tests or of a developer's machine (SEC04); a key of a vendor's test mode (SEC03) | low |
| an everyday password in a compose file (CMP04); a folder of the host that is only read (CMP02) | medium |
| a Dockerfile that is not the app's and cannot be read (IMG16) | medium |
| a copy of everything where nothing large lies beside (IMG05); a port deep in the tree (NET02) | low |
| a tree that no plan can be made of, and that holds no package.json without a start either (RUN01) | info |
| a floating version that a lockfile holds (BLD13); a package manager below an init (RUN02) | low |

What only looks like a secret (SEC08, SEC09, SEC14, an address with a password) is no finding in tests, documents and examples.
Dockerfiles in folders such as `.devcontainer`, `.codesandbox`, `dev` and `examples` are deployed by nobody and are passed over,
unless the plan is made from one. A key that opens all others (Rails' `master.key`) counts more: critical.

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
