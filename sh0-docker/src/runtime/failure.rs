//! Why a build failed: which step it was and what it had printed, or the image that cannot be had.

use std::collections::BTreeMap;
use std::sync::Arc;

use sh0_core::model::{EnvKey, Secret, SecretMount};
use sh0_core::traits::LastLines;
use sh0_core::{Code, Error};

use super::artifacts::print;
use super::fault::{no_image, told};
use crate::client::{self, Builder, Progress, StepLine};

/// Steps of BuildKit that run at the same time, and failures, of which something is kept.
const STEPS: usize = 64;

/// Words of an engine that has not got an image. Other failures have them too: `COPY manifest.json .`
const ABOUT_IMAGES: [&str; 5] = ["pull", "manifest", "registry", "dial tcp", "no such host"];

/// What a build has told so far, as far as it says why it fails.
pub(super) struct Account<'a> {
    dockerfile: &'a str,
    env: &'a BTreeMap<EnvKey, Secret>,
    heard: Heard,
}

/// Each builder tells it its own way.
enum Heard {
    Classic(Classic),
    BuildKit(Steps),
}

/// One instruction after the other.
#[derive(Default)]
struct Classic {
    /// The base image that it came to last.
    stage: Option<String>,
    instruction: Option<String>,
    /// What the instruction has printed.
    last: LastLines,
}

/// Steps, some at the same time.
#[derive(Default)]
struct Steps {
    /// What they have printed, the step that did so last at the end.
    printed: Vec<(Arc<str>, LastLines)>,
    /// Those that failed, and why.
    failed: Vec<(Arc<str>, String)>,
}

impl<'a> Account<'a> {
    pub(super) fn new(builder: Builder, dockerfile: &'a str, env: &'a BTreeMap<EnvKey, Secret>) -> Self {
        let heard = match builder {
            Builder::Classic => Heard::Classic(Classic::default()),
            Builder::BuildKit => Heard::BuildKit(Steps::default()),
        };
        Account { dockerfile, env, heard }
    }

    /// Takes in a message, and hands out its lines as the owner of the Dockerfile should see them.
    pub(super) fn hear(&mut self, progress: &Progress, take: &mut dyn FnMut(&str)) {
        print(progress, &mut |line| {
            if let Heard::Classic(classic) = &mut self.heard {
                classic.hear(line);
            }
            take(&without_preamble(line, self.env));
        });
        for line in &progress.steps {
            if let Heard::BuildKit(steps) = &mut self.heard {
                steps.hear(line);
            }
            let text = without_preamble(&line.to_string(), self.env);
            if !text.trim_end().is_empty() {
                take(text.trim_end());
            }
        }
    }

    /// A failed build: when it failed for an image, the error names the image and the ways out; when a command failed, it
    /// has that command's last lines.
    pub(super) fn error(&self, error: client::Error) -> Error {
        let reason = |message: &str| format!("the image could not be built: {}", without_preamble(message, self.env));
        match &self.heard {
            Heard::Classic(classic) => classic.error(error, self.dockerfile, reason),
            Heard::BuildKit(steps) => steps.error(error, self.dockerfile, reason),
        }
    }
}

impl Classic {
    fn hear(&mut self, line: &str) {
        // It says so before it begins: `Step 4/9 : FROM debian:bookworm`, Podman `STEP 4/9: FROM debian:bookworm`.
        let docker = line.strip_prefix("Step ").and_then(|rest| rest.split_once(" : "));
        let instruction = docker.or_else(|| line.strip_prefix("STEP ")?.split_once(": "));
        match instruction {
            Some((count, instruction)) if count.bytes().all(|byte| byte.is_ascii_digit() || byte == b'/') => {
                self.last.clear();
                self.instruction = Some(instruction.to_owned());
                if let Some(image) = from(instruction) {
                    self.stage = Some(image.to_owned());
                }
            }
            // Its own words: ` ---> Running in 4f66ad9a0b2e`.
            _ if line.starts_with(" ---> ") || line.starts_with("Removing intermediate container ") => {}
            _ => self.last.push(line),
        }
    }

    fn error(&self, error: client::Error, dockerfile: &str, reason: impl Fn(&str) -> String) -> Error {
        let text = error.to_string();
        let takes_image = self.instruction.as_deref().is_none_or(|one| from(one).is_some() || one.contains("--from="));
        let is_step = matches!(&error, client::Error::Stream { code: Some(code), .. } if *code != 0);
        if takes_image && !is_step && ABOUT_IMAGES.iter().any(|word| text.contains(word)) {
            let images = base_images(dockerfile);
            let named = images.iter().find(|image| text.contains(image.as_str())).or(self.stage.as_ref());
            if let Some(image) = named.or(images.first()) {
                return no_image(image, error);
            }
        }
        match &error {
            client::Error::Stream { message, .. } if is_step => self.last.build_failed(reason(message)),
            client::Error::Stream { message, .. } => Error::new(Code::BuildFailed, reason(message)),
            _ => told(error),
        }
    }
}

impl Steps {
    fn hear(&mut self, line: &StepLine) {
        match line {
            StepLine::Printed { step, text } => {
                let mut printed = match self.printed.iter().rposition(|(known, _)| known == step) {
                    Some(at) => self.printed.remove(at),
                    None => (step.clone(), LastLines::default()),
                };
                printed.1.push(text);
                if self.printed.len() == STEPS {
                    self.printed.remove(0);
                }
                self.printed.push(printed);
            }
            StepLine::Failed { step, error } if self.failed.len() < STEPS => {
                self.failed.push((step.clone(), error.clone()));
            }
            _ => {}
        }
    }

    fn error(&self, error: client::Error, dockerfile: &str, reason: impl Fn(&str) -> String) -> Error {
        let client::Error::Stream { message, .. } = &error else { return told(error) };
        // One that fails ends the others: the build's own error repeats what the first one said.
        let blamed = self.failed.iter().find(|(_, why)| message.contains(why.as_str())).or(self.failed.first());
        let reason = reason(message);
        let Some((step, _)) = blamed else { return Error::new(Code::BuildFailed, reason) };
        if let Some(image) = image_of(step) {
            let own = base_images(dockerfile).into_iter().find(|own| image.ends_with(own.as_str()));
            return no_image(&own.unwrap_or_else(|| image.to_owned()), error);
        }
        match self.printed.iter().find(|(known, _)| known == step) {
            Some((_, last)) => last.build_failed(reason),
            None if instruction_of(step).is_some_and(|words| words.starts_with("RUN ")) => {
                LastLines::default().build_failed(reason)
            }
            None => Error::new(Code::BuildFailed, reason),
        }
    }
}

/// What a step of BuildKit does: `RUN npm ci` of `[build 2/4] RUN npm ci`.
fn instruction_of(step: &str) -> Option<&str> {
    step.strip_prefix('[')?.split_once("] ").map(|(_, instruction)| instruction)
}

/// The image that a step of BuildKit brings here, in full: `docker.io/library/node:20`.
fn image_of(step: &str) -> Option<&str> {
    let image = step
        .strip_prefix("[internal] load metadata for ")
        // The frontend that `# syntax=` names.
        .or_else(|| step.strip_prefix("resolve image config for "))
        .or_else(|| from(instruction_of(step)?))?;
    image.trim_start_matches("docker-image://").split('@').next()
}

/// The image of a `FROM`.
fn from(instruction: &str) -> Option<&str> {
    let mut words = instruction.split_whitespace().filter(|word| !word.starts_with("--"));
    words.next().filter(|word| word.eq_ignore_ascii_case("from")).and_then(|_| words.next())
}

/// What stands before a command of a generated Dockerfile to give it its variables is not what its owner wrote.
fn without_preamble(line: &str, env: &BTreeMap<EnvKey, Secret>) -> String {
    let mut line = line.to_owned();
    for secret in env.keys().map(|key| SecretMount(key.as_str())) {
        line = line.replace(&secret.mount(), "");
        // As written; as in a command that is an array, or as BuildKit quotes it since 0.10 (Go's `%q`); as both.
        for quote in ["\"", "\\\"", "\\\\\\\""] {
            line = line.replace(&secret.export(quote), "");
        }
    }
    line
}

/// The images that a Dockerfile builds upon, its own stages left out.
fn base_images(dockerfile: &str) -> Vec<String> {
    let (mut images, mut stages) = (Vec::new(), vec!["scratch".to_owned()]);
    for line in dockerfile.lines() {
        let Some(image) = from(line) else { continue };
        if !stages.iter().any(|stage| stage == image) {
            images.push(image.to_owned());
        }
        let mut words = line.split_whitespace().filter(|word| !word.starts_with("--")).skip(2);
        if let (Some(_), Some(stage)) = (words.next(), words.next()) {
            stages.push(stage.to_owned());
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> BTreeMap<EnvKey, Secret> {
        BTreeMap::from([("TOKEN".parse().unwrap(), Secret::new("x"))])
    }

    fn said(message: &str, code: Option<i64>) -> client::Error {
        client::Error::Stream { operation: "build", message: message.to_owned(), code }
    }

    fn printed(step: &str, text: &str) -> StepLine {
        StepLine::Printed { step: step.into(), text: text.to_owned() }
    }

    fn broke(step: &str, error: &str) -> StepLine {
        StepLine::Failed { step: step.into(), error: error.to_owned() }
    }

    /// What people see, and the error, of a build by BuildKit.
    fn buildkit(dockerfile: &str, steps: Vec<StepLine>, error: client::Error) -> (Vec<String>, String) {
        let (env, mut lines) = (env(), Vec::new());
        let mut account = Account::new(Builder::BuildKit, dockerfile, &env);
        let mut progress = Progress::default();
        progress.steps = steps;
        account.hear(&progress, &mut |line| lines.push(line.to_owned()));
        (lines, account.error(error).detail().to_owned())
    }

    fn classic(dockerfile: &str, lines: &[&str], error: client::Error) -> String {
        let env = env();
        let mut account = Account::new(Builder::Classic, dockerfile, &env);
        for line in lines {
            let mut progress = Progress::default();
            progress.stream = Some(format!("{line}\n"));
            account.hear(&progress, &mut |_| {});
        }
        account.error(error).detail().to_owned()
    }

    #[test]
    fn base_images_without_stages() {
        let text = "FROM node:20 AS build\nRUN x\nfrom --platform=linux/amd64 debian:bookworm as run\nFROM build\nFROM scratch\n";
        assert_eq!(base_images(text), ["node:20", "debian:bookworm"]);
    }

    #[test]
    fn a_command_is_told_as_its_owner_wrote_it() {
        let env = env();
        let line = "RUN --mount=type=secret,id=TOKEN,target=/run/secrets/TOKEN export TOKEN=\"$(cat /run/secrets/TOKEN)\" && npm ci";
        assert_eq!(without_preamble(line, &env), "RUN npm ci");
        assert_eq!(without_preamble("cat /run/secrets/OTHER", &env), "cat /run/secrets/OTHER");
        let array = r#"RUN ["/bin/sh","-c","export TOKEN=\"$(cat /run/secrets/TOKEN)\" && a <<b"]"#;
        assert_eq!(without_preamble(array, &env), r#"RUN ["/bin/sh","-c","a <<b"]"#);
    }

    /// The words of Docker Engine 23 and later.
    #[test]
    fn what_newer_engines_quote_is_told_as_its_owner_wrote_it() {
        let why = r#"process "/bin/sh -c export TOKEN=\"$(cat /run/secrets/TOKEN)\" && npm run \"a b\"" did not complete successfully: exit code: 1"#;
        let step = "[build 4/5] RUN --mount=type=secret,id=TOKEN,target=/run/secrets/TOKEN export TOKEN=\"$(cat /run/secrets/TOKEN)\" && npm run \"a b\"";
        let steps = vec![
            StepLine::Step { name: step.into(), cached: false },
            printed(step, "no such script"),
            broke(step, why),
        ];
        let (lines, error) =
            buildkit("FROM node:20 AS build\n", steps, said(&format!("failed to solve: {why}"), Some(1)));
        assert_eq!(lines[0], "[build 4/5] RUN npm run \"a b\"");
        let told = r#"process "/bin/sh -c npm run \"a b\"" did not complete successfully: exit code: 1"#;
        let whole = format!("the image could not be built: failed to solve: {told}; its last lines:\nno such script");
        assert_eq!(error, whole);
    }

    #[test]
    fn the_last_lines_are_those_of_the_step_that_failed() {
        let (one, two) = ("[a 2/2] RUN one", "[b 2/2] RUN two");
        let why = "process \"/bin/sh -c one\" did not complete successfully: cannot allocate memory";
        let steps = vec![
            printed(one, "of one"),
            printed(two, "of two"),
            printed(one, "ERROR [eslint] of one as well"),
            printed(two, "[1/4] Resolving packages..."),
            broke(two, "something else"),
            broke(one, why),
        ];
        let (lines, error) = buildkit("FROM a\n", steps, said(&format!("failed to solve: {why}"), None));
        assert_eq!(lines.len(), 6);
        assert!(error.ends_with("; its last lines:\nof one\nERROR [eslint] of one as well"), "{error}");
        assert!(error.contains("cannot allocate memory"), "{error}");
    }

    #[test]
    fn only_so_many_steps_are_remembered() {
        let mut steps = Steps::default();
        for number in 0..1000 {
            steps.hear(&printed("first", "x"));
            steps.hear(&printed(&format!("step {number}"), "x"));
            steps.hear(&broke("first", "x"));
        }
        assert_eq!((steps.printed.len(), steps.failed.len()), (STEPS, STEPS));
        assert!(steps.printed.iter().any(|(step, _)| &**step == "first"));
    }

    #[test]
    fn a_file_that_is_missing_is_no_image() {
        let why = "failed to compute cache key: \"/manifest.json\" not found: not found";
        let copy = "[2/2] COPY manifest.json registry/ ./";
        let (_, error) = buildkit("FROM node:20\n", vec![broke(copy, why)], said(why, None));
        assert_eq!(error, format!("the image could not be built: {why}"));
        let why = "COPY failed: file not found in build context: stat manifest.json: file does not exist";
        let lines = ["Step 1/2 : FROM node:20", " ---> 4f66ad9a0b2e", "Step 2/2 : COPY manifest.json ."];
        assert_eq!(classic("FROM node:20\n", &lines, said(why, None)), format!("the image could not be built: {why}"));
        let (_, error) = buildkit("FROM node:20\n", vec![], said("unknown instruction: PULL (manifest)", None));
        assert!(!error.contains("--image-mirror"), "{error}");
    }

    #[test]
    fn an_image_that_cannot_be_had_is_named_as_its_owner_wrote_it() {
        for (step, image) in [
            ("[internal] load metadata for docker.io/library/node:20", "node:20"),
            ("[1/2] FROM docker.io/library/node:20@sha256:fec0", "node:20"),
            ("resolve image config for docker-image://docker.io/docker/dockerfile:1", "docker.io/docker/dockerfile:1"),
        ] {
            let (_, error) = buildkit("FROM node:20\n", vec![broke(step, "no such host")], said("no such host", None));
            let begins = format!("the image {image} is not here and its registry cannot be reached");
            assert!(error.starts_with(&begins) && error.contains("--image-mirror"), "{error}");
        }
    }

    #[test]
    fn a_missing_base_image_is_named_with_the_ways_out() {
        let offline =
            said("Get \"https://registry.example/v2/\": dial tcp: lookup registry.example: no such host", None);
        let dockerfile = "FROM rust AS build\nFROM --platform=linux/amd64 node:20 AS run\n";
        let error = classic(dockerfile, &["Step 3/9 : FROM --platform=linux/amd64 node:20 AS run"], offline);
        for word in ["node:20", "--image-mirror", "--runtime process"] {
            assert!(error.contains(word), "{word}: {error}");
        }
        let podman = said("creating build container: registry.example/x: no such host", None);
        assert!(classic("FROM x\n", &["STEP 1/2: FROM x"], podman).contains("the image x is not here"));
        let refused = said("The command '/bin/sh -c npm ci' returned a non-zero code: 1 (registry)", Some(1));
        let lines = ["Step 4/9 : RUN npm ci", " ---> Running in 4f66ad9a0b2e", "\u{1b}[91mnpm error code EJSONPARSE"];
        let error = classic("FROM node:20\n", &lines, refused);
        assert!(!error.contains("--image-mirror"), "{error}");
        assert!(error.ends_with("; its last lines:\nnpm error code EJSONPARSE"), "{error}");
    }
}
