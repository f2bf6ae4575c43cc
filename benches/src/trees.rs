//! Source trees of the probe app, for either runtime, well-behaved and not.

use std::fs;
use std::path::{Path, PathBuf};

use sh0::model::RuntimeKind;

use crate::Outcome;

/// How a release behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Starts at once.
    Plain,
    /// Listens after a second and a half.
    Late,
    /// Listens at once and answers 503 for a second.
    Unready,
    /// Does not end at SIGTERM.
    Deaf,
    /// Ends at once.
    Exits,
    /// Never opens its port.
    Never,
    /// Opens its port and never answers.
    Hangs,
    /// Answers 503 for ever.
    Sick,
    /// Answers 503, and crashes after half a second, again and again.
    Crashes,
    /// Listens on another port.
    Elsewhere,
}

impl Manner {
    /// Those that come to serve.
    pub const GOOD: [Manner; 4] = [Manner::Plain, Manner::Late, Manner::Unready, Manner::Deaf];
    /// Those that must never get a request.
    pub const BAD: [Manner; 6] =
        [Manner::Exits, Manner::Never, Manner::Hangs, Manner::Sick, Manner::Crashes, Manner::Elsewhere];

    fn vars(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Manner::Plain => &[],
            Manner::Late => &[("PROBE_START_MS", "1500")],
            Manner::Unready => &[("PROBE_UNREADY_MS", "1000")],
            Manner::Deaf => &[("PROBE_DEAF", "1")],
            Manner::Exits => &[("PROBE_FAULT", "exit")],
            Manner::Never => &[("PROBE_FAULT", "never")],
            Manner::Hangs => &[("PROBE_FAULT", "hang")],
            Manner::Sick => &[("PROBE_UNREADY_MS", "3600000")],
            Manner::Crashes => &[("PROBE_UNREADY_MS", "3600000"), ("PROBE_CRASH_MS", "500")],
            Manner::Elsewhere => &[("PROBE_FAULT", "port")],
        }
    }
}

const DEBIAN: &str = "sh0-test/debian:bookworm";

/// Where trees of the probe app are made.
pub struct Trees {
    dir: PathBuf,
    program: PathBuf,
    runtime: RuntimeKind,
    base: String,
}

impl Trees {
    /// Trees below `dir`, of the program `program`. Its images are made from nothing when it is linked statically,
    /// else from `sh0-test/debian:bookworm`, which `cargo xtask setup` makes.
    pub fn new(dir: &Path, program: &Path, runtime: RuntimeKind) -> Outcome<Trees> {
        fs::create_dir_all(dir)?;
        let base = if is_static(program)? { "scratch" } else { DEBIAN };
        Ok(Trees { dir: dir.to_owned(), program: program.to_owned(), runtime, base: base.to_owned() })
    }

    /// The same with images that have a shell, for commands of the app's own.
    pub fn with_shell(self) -> Trees {
        Trees { base: DEBIAN.to_owned(), ..self }
    }

    /// A tree whose release answers with `label`, and behaves like this.
    pub fn make(&self, label: &str, manner: Manner) -> Outcome<PathBuf> {
        self.make_with(label, manner.vars())
    }

    /// The same with variables of one's own.
    pub fn make_with(&self, label: &str, vars: &[(&str, &str)]) -> Outcome<PathBuf> {
        let tree = self.dir.join(format!("{label}-{}", self.runtime));
        fs::create_dir_all(&tree)?;
        // The same file in every tree; the platform copies what it builds.
        let program = tree.join("probe-app");
        if !program.exists() && fs::hard_link(&self.program, &program).is_err() {
            fs::copy(&self.program, &program)?;
        }
        let vars = vars.iter().map(|(name, value)| format!("{name}={value}\n"));
        fs::write(tree.join("probe.env"), format!("PROBE_LABEL={label}\n{}", vars.collect::<String>()))?;
        match self.runtime {
            RuntimeKind::Process => fs::write(tree.join("Procfile"), "web: ./probe-app\n")?,
            RuntimeKind::Docker => fs::write(
                tree.join("Dockerfile"),
                format!(
                    "FROM {}\nWORKDIR /app\nCOPY . /app/\nUSER 1000:1000\nENV PORT=8080\nCMD [\"/app/probe-app\"]\n",
                    self.base
                ),
            )?,
        }
        Ok(tree)
    }
}

/// Whether an ELF program asks for no dynamic loader (program header `PT_INTERP`, elf(5)).
fn is_static(program: &Path) -> Outcome<bool> {
    let bytes = fs::read(program)?;
    let number = |at: usize, size: usize| -> Option<usize> {
        let field = bytes.get(at..at + size)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    let headers = || Some((number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?));
    let (start, size, count) = headers().ok_or("the probe app is no 64-bit ELF program")?;
    Ok((0..count).all(|index| number(start + index * size, 4) != Some(3)))
}
