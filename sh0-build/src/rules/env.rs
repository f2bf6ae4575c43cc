//! Env files: `KEY=value` lines.

use super::class::Class;

/// One file.
#[derive(Debug, Default)]
pub(crate) struct EnvFile {
    pub(crate) values: Vec<EnvValue>,
    /// Lines that say nothing that a reader of env files understands.
    pub(super) errors: Vec<(u32, String)>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct EnvValue {
    pub(crate) line: u32,
    pub(crate) key: String,
    /// Quotes taken off.
    pub(crate) text: String,
}

/// What rules read as `KEY=value` lines: more than [`sh0_core::model::is_env_file`], which says what never belongs to a
/// source. Also the examples that are filled in by hand, and `prod.env`.
pub(super) fn is_env_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let code = Class::of(path).any(Class::CODE);
    !code && (name == ".env" || name.starts_with(".env.") || name.ends_with(".env")) && !name.ends_with(".md")
}

impl EnvFile {
    pub(crate) fn parse(text: &str) -> EnvFile {
        let mut file = EnvFile::default();
        let mut lines = (1u32..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                file.errors.push((number, "there is no `=`".into()));
                continue;
            };
            let key = key.trim();
            if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
                file.errors.push((number, "the name before `=` is none".into()));
                continue;
            }
            let value = value.trim();
            let text = match value.chars().next() {
                Some(quote @ ('"' | '\'' | '`')) => {
                    let mut inner = value[1..].to_owned();
                    // A value in quotes may go on over lines.
                    while !inner.contains(quote) {
                        let Some((_, next)) = lines.next() else {
                            file.errors.push((number, format!("the {quote} is never closed")));
                            break;
                        };
                        inner.push('\n');
                        inner.push_str(next);
                    }
                    inner.split(quote).next().unwrap_or_default().to_owned()
                }
                _ => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
            };
            file.values.push(EnvValue { line: number, key: key.to_owned(), text });
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_dotenv_reads_them() {
        let file = EnvFile::parse("# x\nexport A=1 # one\nB=\"two\nlines\"\nC='a=b'\n\nnonsense\n=x\nD=\"open\n");
        let values: Vec<_> = file.values.iter().map(|v| (v.line, v.key.as_str(), v.text.as_str())).collect();
        assert_eq!(values[..3], [(2, "A", "1"), (3, "B", "two\nlines"), (5, "C", "a=b")]);
        assert_eq!(file.errors.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn names() {
        for (path, is) in [
            (".env", true),
            ("a/.env.local", true),
            ("prod.env", true),
            ("env.rs", false),
            (".env.d.ts", false),
            (".envrc", false),
        ] {
            assert_eq!(is_env_file(path), is, "{path}");
            assert!(is || !sh0_core::model::is_env_file(path.as_ref()) || path.ends_with(".ts"), "{path}");
        }
    }
}
