//! Dockerfiles, read as BuildKit reads them: continued lines, comments between them, heredocs, the `escape` directive,
//! byte order marks and CRLF, JSON forms, flags, variables in `FROM`.

use std::collections::BTreeMap;

/// What may begin an instruction.
const WORDS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// More stages than this are not read: what a stage is based on is looked up among all of them.
const MAX_STAGES: usize = 200;

/// A Dockerfile, as far as it can be read.
#[derive(Debug, Default)]
pub(crate) struct Dockerfile {
    /// Every instruction in order, those before the first `FROM` too.
    pub(crate) instructions: Vec<Instruction>,
    pub(crate) stages: Vec<Stage>,
    /// What cannot be read, with its line.
    pub(crate) errors: Vec<(u32, String)>,
}

/// What begins with `FROM`.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) line: u32,
    /// The image or the earlier stage, variables with defaults filled in.
    pub(crate) base: String,
    pub(crate) name: Option<String>,
    /// Its instructions, as a range of [`Dockerfile::instructions`], `FROM` left out.
    from: usize,
    to: usize,
}

#[derive(Debug)]
pub(crate) struct Instruction {
    pub(crate) line: u32,
    /// In capitals.
    pub(crate) word: String,
    /// `--name=value` in front of the rest.
    pub(crate) flags: Vec<(String, String)>,
    /// The rest, continued lines joined by a space, comments left out.
    pub(crate) rest: String,
    /// The texts of its heredocs.
    pub(crate) heredocs: Vec<String>,
}

impl Instruction {
    /// The JSON form: a list of words.
    pub(crate) fn json(&self) -> Option<Vec<String>> {
        let list: Vec<String> = serde_json::from_str(self.rest.trim()).ok()?;
        Some(list)
    }

    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(flag, _)| flag == name).map(|(_, value)| value.as_str())
    }

    /// What a shell runs: the rest and the heredocs; the words of a JSON form.
    pub(crate) fn script(&self) -> String {
        let mut script = self.json().map_or_else(|| self.rest.clone(), |words| words.join(" "));
        for text in &self.heredocs {
            script.push('\n');
            script.push_str(text);
        }
        script
    }

    /// The words of a `COPY` or `ADD`: sources, then the target.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.json().unwrap_or_else(|| self.rest.split_whitespace().map(str::to_owned).collect())
    }

    /// `KEY=value` pairs of `ENV`, `ARG` and `LABEL`, quotes taken off; the old form `ENV KEY value` too. `None` for an
    /// `ARG` without a value.
    pub(crate) fn pairs(&self) -> Vec<(String, Option<String>)> {
        let words = split_quoted(&self.rest);
        match words.first() {
            Some(first) if self.word == "ENV" && !first.contains('=') => {
                let value = self.rest.trim().split_once(char::is_whitespace).map(|(_, value)| unquote(value.trim()));
                vec![(first.clone(), value)]
            }
            _ => words
                .iter()
                .map(|word| match word.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(unquote(value))),
                    None => (word.clone(), None),
                })
                .collect(),
        }
    }
}

impl Dockerfile {
    pub(crate) fn parse(text: &str) -> Dockerfile {
        let mut file = Dockerfile::default();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let escape = escape_of(text);
        let mut lines = (1u32..).zip(text.lines()).peekable();
        while let Some((number, line)) = lines.next() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut joined = String::new();
            let mut part = line.trim_end();
            loop {
                let (kept, continued) = match part.strip_suffix(escape) {
                    Some(kept) => (kept, true),
                    None => (part, false),
                };
                joined.push_str(kept);
                if !continued {
                    break;
                }
                // Comments and empty lines between continued lines are skipped.
                let next = lines.by_ref().find(|(_, next)| {
                    let next = next.trim_start();
                    !next.is_empty() && !next.starts_with('#')
                });
                let Some((_, next)) = next else { break };
                part = next.trim_end();
            }
            let mut instruction = match instruction(number, &joined) {
                Ok(instruction) => instruction,
                Err(error) => {
                    file.errors.push((number, error));
                    continue;
                }
            };
            if instruction.word == "FROM" && file.stages.len() == MAX_STAGES {
                file.errors.push((number, format!("there are more than {MAX_STAGES} stages")));
                break;
            }
            if matches!(instruction.word.as_str(), "RUN" | "COPY" | "ADD") {
                for (end, tabs) in heredocs(&instruction.rest) {
                    let mut body = String::new();
                    let closed = lines.by_ref().any(|(_, line)| {
                        let candidate = if tabs { line.trim_start_matches('\t') } else { line };
                        let last = candidate.trim_end() == end;
                        if !last {
                            body.push_str(line);
                            body.push('\n');
                        }
                        last
                    });
                    if !closed {
                        file.errors.push((number, format!("the heredoc has no closing {end}")));
                    }
                    instruction.heredocs.push(body);
                }
            }
            file.push(instruction);
        }
        if file.stages.is_empty() {
            file.errors.push((1, "there is no FROM".into()));
        }
        file
    }

    fn push(&mut self, instruction: Instruction) {
        let place = self.instructions.len();
        if instruction.word == "FROM" {
            let words: Vec<&str> = instruction.rest.split_whitespace().collect();
            let name = match words.get(1..) {
                Some([as_word, name]) if as_word.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
                Some([]) => None,
                _ => {
                    self.errors
                        .push((instruction.line, "FROM takes an image and, if it shall have a name, AS NAME".into()));
                    None
                }
            };
            let base = self.expand(words.first().copied().unwrap_or_default());
            self.stages.push(Stage { line: instruction.line, base, name, from: place + 1, to: place + 1 });
        } else if let Some(stage) = self.stages.last_mut() {
            stage.to = place + 1;
        } else if instruction.word != "ARG" {
            self.errors.push((instruction.line, format!("{} stands before the first FROM", instruction.word)));
        }
        self.instructions.push(instruction);
    }

    /// The instructions of a stage.
    pub(crate) fn of(&self, stage: &Stage) -> &[Instruction] {
        self.instructions.get(stage.from..stage.to).unwrap_or_default()
    }

    /// The stage that ships: the last.
    pub(crate) fn last(&self) -> Option<&Stage> {
        self.stages.last()
    }

    /// The instructions of a stage with those of the stages that it is based on, the oldest first.
    pub(crate) fn lineage(&self, stage: &Stage) -> Vec<&Instruction> {
        let mut chain = vec![stage];
        while let Some(parent) = chain.last().and_then(|stage| self.parent(stage)) {
            chain.push(parent);
        }
        chain.into_iter().rev().flat_map(|stage| self.of(stage)).collect()
    }

    /// The earlier stage that a stage is based on.
    pub(crate) fn parent(&self, stage: &Stage) -> Option<&Stage> {
        let base = stage.base.to_ascii_lowercase();
        self.stages.iter().filter(|s| s.from < stage.from).find(|s| s.name.as_deref() == Some(&base))
    }

    /// The image at the root of a stage.
    pub(crate) fn image<'s>(&'s self, stage: &'s Stage) -> &'s str {
        let mut at = stage;
        while let Some(parent) = self.parent(at) {
            at = parent;
        }
        &at.base
    }

    /// Variables of `ARG`s before the first `FROM`, where they have a default.
    fn expand(&self, text: &str) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let args: BTreeMap<String, String> = self
            .instructions
            .iter()
            .take_while(|i| i.word != "FROM")
            .flat_map(Instruction::pairs)
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        expand(text, &args)
    }
}

/// `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME-default}`; what is not known stays as it is.
pub(crate) fn expand(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, default, used) = if let Some(braced) = after.strip_prefix('{') {
            let Some(end) = braced.find('}') else { break };
            let inner = &braced[..end];
            let name_end = inner.find([':', '-', '+']).unwrap_or(inner.len());
            let default = inner[name_end..].trim_start_matches(':').strip_prefix('-');
            (&inner[..name_end], default, end + 2)
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (&after[..end], None, end)
        };
        match values.get(name).map(String::as_str).or(default) {
            Some(value) => out.push_str(value),
            None => out.push_str(&rest[at..at + 1 + used]),
        }
        rest = &after[used..];
    }
    out.push_str(rest);
    out
}

/// `# escape=` among the directives at the top.
fn escape_of(text: &str) -> char {
    for line in text.lines() {
        let Some(directive) = line.trim().strip_prefix('#') else { break };
        let Some((key, value)) = directive.split_once('=') else { break };
        if key.trim().eq_ignore_ascii_case("escape") {
            return if value.trim() == "`" { '`' } else { '\\' };
        }
    }
    '\\'
}

fn instruction(line: u32, text: &str) -> Result<Instruction, String> {
    let (word, mut rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let word = word.to_ascii_uppercase();
    if !WORDS.contains(&word.as_str()) {
        return Err(format!("`{}` is no instruction", word.chars().take(30).collect::<String>()));
    }
    rest = rest.trim();
    if rest.is_empty() {
        return Err(format!("{word} says nothing"));
    }
    let mut flags = Vec::new();
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            break;
        }
        flags.push((name.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    Ok(Instruction { line, word, flags, rest: rest.to_owned(), heredocs: Vec::new() })
}

/// The ends of the heredocs that a line opens, and whether tabs before them are taken off (`<<-`).
fn heredocs(rest: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut at = rest;
    while let Some(start) = at.find("<<") {
        let before = &at[..start];
        let after = &at[start + 2..];
        // `<<<` is a here-string of the shell; `1<<2` is arithmetic.
        if let Some(here_string) = after.strip_prefix('<') {
            at = here_string;
            continue;
        }
        let (tabs, after) = after.strip_prefix('-').map_or((false, after), |after| (true, after));
        let (quote, name) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => (Some(quote), &after[1..]),
            _ => (None, after),
        };
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(name.len());
        let word = &name[..end];
        let starts_well = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let apart = before.is_empty()
            || before.ends_with(char::is_whitespace)
            || before.ends_with(|c: char| c.is_ascii_digit());
        if starts_well && apart && quote.is_none_or(|quote| name[end..].starts_with(quote)) {
            found.push((word.to_owned(), tabs));
        }
        at = &name[end..];
    }
    found
}

/// Words apart by blanks outside of quotes, the quotes kept.
fn split_quoted(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => {
                let Some(last) = words.last_mut() else { break };
                last.push(c);
                last.extend(chars.next());
                continue;
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => {
                words.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = words.last_mut() {
            last.push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn unquote(text: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stages_without_end_are_not_read() {
        let file = Dockerfile::parse(&"FROM a AS a\nRUN b\n".repeat(80_000));
        assert_eq!((file.stages.len(), file.instructions.len()), (MAX_STAGES, 2 * MAX_STAGES));
        assert_eq!(file.errors, [(401, "there are more than 200 stages".to_owned())]);
        assert_eq!(file.image(&file.stages[0]), "a");
    }

    #[test]
    fn real_files_are_read() {
        let text = "\u{feff}# escape=\\\r\nARG V=20\r\nFROM --platform=$BUILDPLATFORM node:${V}-slim AS Build\r\nRUN a \\\r\n  # a comment\r\n\r\n  && b\r\nRUN <<EOF\n# not a comment\nFROM nothing\nEOF\nCOPY <<-\"X\" /x\n\tbody\n\tX\nRUN cat <<<word\nRUN echo $((1<<2))\nFROM build\nCMD [\"node\", \"a.js\"]\n";
        let file = Dockerfile::parse(text);
        assert_eq!(file.errors, []);
        assert_eq!(file.stages.len(), 2);
        assert_eq!(file.stages[0].base, "node:20-slim");
        assert_eq!(file.stages[0].name.as_deref(), Some("build"));
        let first = &file.of(&file.stages[0])[0];
        assert_eq!((first.line, first.rest.as_str()), (4, "a   && b"));
        assert_eq!(file.of(&file.stages[0])[1].heredocs, ["# not a comment\nFROM nothing\n"]);
        assert_eq!(file.of(&file.stages[0])[2].heredocs, ["\tbody\n"]);
        assert_eq!(file.image(file.last().unwrap()), "node:20-slim");
        assert_eq!(file.of(&file.stages[1])[0].json().unwrap(), ["node", "a.js"]);
        assert_eq!(file.lineage(file.last().unwrap()).len(), 6);
    }

    #[test]
    fn a_backtick_may_be_the_escape() {
        let file = Dockerfile::parse("# escape=`\nFROM a\nRUN x `\n  y\nWORKDIR C:\\\n");
        assert_eq!(file.errors, []);
        assert_eq!(file.instructions[1].rest, "x   y");
    }

    #[test]
    fn pairs_have_quotes_taken_off() {
        let file = Dockerfile::parse("FROM a\nENV A=\"b c\" D=e\nENV OLD form here\nARG X\n");
        let pairs: Vec<_> = file.instructions.iter().skip(1).flat_map(Instruction::pairs).collect();
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        assert_eq!(pairs, [("A", Some("b c")), ("D", Some("e")), ("OLD", Some("form here")), ("X", None)]);
    }

    #[test]
    fn mistakes_have_lines() {
        for (text, line) in [
            ("RUN x\n", 1),
            ("FROM a\nFORM b\n", 2),
            ("FROM a\nRUN <<EOF\nx\n", 2),
            ("FROM a b c d\n", 1),
            ("", 1),
            ("FROM a\nCMD\n", 2),
        ] {
            assert_eq!(Dockerfile::parse(text).errors.first().map(|(line, _)| *line), Some(line), "{text}");
        }
    }
}
