//! JSON Schemas (draft 2020-12) of `sh0.toml` and of a plan, for editors and validators.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use sh0_core::model::{EnvKey, FailOn, Plan, ProcessName, RelPath};

/// The schema of `sh0.toml`.
///
/// ```
/// let schema = sh0_build::config_schema();
/// assert_eq!(schema["properties"]["port"]["maximum"], 65535);
/// assert_eq!(schema["additionalProperties"], false);
/// ```
pub fn config_schema() -> serde_json::Value {
    generator().into_root_schema_for::<File>().to_value()
}

/// The schema of a plan, as `sh0 plan --json` prints it.
///
/// ```
/// let schema = sh0_build::plan_schema();
/// assert!(schema["properties"]["start_command"].is_object());
/// ```
pub fn plan_schema() -> serde_json::Value {
    generator().into_root_schema_for::<Plan>().to_value()
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

/// What the owner of a tree writes down to override what is detected.
#[derive(JsonSchema)]
#[schemars(rename = "sh0.toml", deny_unknown_fields)]
#[allow(dead_code, reason = "it is read as a schema; `config` reads the file, with the lines of its keys")]
struct File {
    /// The folder of the app, in a tree with several: a member of a workspace, or a folder on its own, of which everything
    /// else in the file is said.
    root: Option<String>,
    /// The language, such as `node`; `shell` for commands alone, `docker` for the Dockerfile alone.
    language: Option<String>,
    /// The package manager, for languages with several: `npm`, `yarn`, `pnpm`, `bun`, or `pip`, `uv`, `poetry`, `pdm`,
    /// `pipenv`, `conda`.
    package_manager: Option<String>,
    /// The framework.
    framework: Option<String>,
    /// The version of the language: `22`, `>=3.11`, `lts/*`.
    version: Option<String>,
    /// Debian packages that the build and the app need.
    packages: Option<Texts>,
    /// Commands that install dependencies; an empty list is "none".
    install: Option<Texts>,
    /// Commands that build; an empty list is "none".
    build: Option<Texts>,
    /// The command that starts `web`.
    start_command: Option<String>,
    /// Runs once before each switch.
    release_command: Option<String>,
    /// The port on which `web` listens.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// Every process type and its command.
    processes: Option<BTreeMap<ProcessName, String>>,
    /// The folder of files to serve, when that is all the app is.
    static_dir: Option<String>,
    /// Unknown paths answer `index.html` (a single-page app).
    spa_fallback: Option<bool>,
    /// The Dockerfile that makes the image.
    dockerfile: Option<RelPath>,
    /// Variables for build and run.
    env: Option<BTreeMap<EnvKey, String>>,
    /// Folders of the app that come first in `PATH`.
    paths: Option<Texts>,
    /// Of health rules.
    check: Option<Check>,
}

/// Of health rules.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read as a schema")]
struct Check {
    /// Findings that are allowed.
    ignore: Option<Vec<Allowed>>,
    /// How grave a finding has to be to block a deployment, and to make `sh0 check` fail; never when absent.
    fail_on: Option<FailOn>,
}

/// A finding that is allowed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it is read as a schema")]
struct Allowed {
    /// Its id or name, such as `IMG01`.
    rule: String,
    /// Where: a path from the folder of the app or from the top, or a pattern such as `docs/*`; everywhere when absent.
    path: Option<String>,
    /// Why.
    reason: String,
}

/// One text, or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "it is read as a schema")]
enum Texts {
    One(String),
    Several(Vec<String>),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn the_schema_and_the_reader_know_the_same_keys() {
        let schema = super::config_schema();
        let mut described: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(described, crate::config::KEYS);
    }

    #[test]
    fn a_plan_is_described_with_every_key_that_it_prints() {
        let schema = super::plan_schema();
        let plan = serde_json::to_value(sh0_core::model::Plan::default()).unwrap();
        for key in plan.as_object().unwrap().keys() {
            assert!(schema["properties"][key].is_object(), "{key}");
        }
    }
}
