//! A user's command line, written so that signals reach the program and not the shell around it.

/// Characters and words of the shell grammar (POSIX.1-2017, volume 3, section 2): behind them `exec` is not one program.
const OPERATORS: &[char] = &['&', '|', '(', ')', '<', '>', '`', '\n', '{', '}', '!'];
const WORDS: &[&str] = &[
    "exec", "cd", "export", "set", "unset", "if", "for", "while", "until", "case", "eval", "trap", "test", "[", "[[",
    ".", "source", "ulimit", "umask", "alias", "wait", "read", "exit", "return", "shift", "true", "false", ":", "then",
    "do", "done", "else", "elif", "fi", "esac",
];

/// The text for `/bin/sh -c` that replaces the shell by the program, so that SIGTERM reaches it: a shell that stays in
/// front swallows it. `a && b` becomes `a && exec b`, `a; b` likewise; what cannot be replaced (pipes, jobs, a shell
/// with traps) is left as it is.
///
/// ```
/// use sh0_core::model::exec_line;
/// assert_eq!(exec_line("node server.js"), "exec node server.js");
/// assert_eq!(exec_line("TZ=UTC node server.js"), "exec env TZ=UTC node server.js");
/// assert_eq!(exec_line("./migrate && ./serve -p $PORT"), "./migrate && exec ./serve -p $PORT");
/// assert_eq!(exec_line("./serve | tee log"), "./serve | tee log");
/// ```
pub fn exec_line(command: &str) -> String {
    let command = command.trim();
    let Some(start) = last_command(command) else { return command.to_owned() };
    let (before, last) = command.split_at(start);
    let last = last.trim();
    if before.contains("trap ") {
        return command.to_owned();
    }
    match last.split_whitespace().next() {
        None => command.to_owned(),
        Some(word) if WORDS.contains(&word) => command.to_owned(),
        Some(word) if is_assignment(word) => {
            // An assignment alone, or one with nothing but assignments behind it, starts nothing.
            // What a substitution answers is one word in an assignment, and several behind `env`.
            let starts = last.split_whitespace().any(|word| !is_assignment(word)) && !last.contains("$(");
            if starts { format!("{}exec env {last}", spaced(before)) } else { command.to_owned() }
        }
        Some(_) => format!("{}exec {last}", spaced(before)),
    }
}

/// The program and arguments that run a user's own command line: the only place in the code that names a shell
/// (`cargo xtask check` sees to it). For what runs inside the user's own instance or build, never for the host.
///
/// ```
/// assert_eq!(sh0_core::model::shell("echo $HOME"), ["/bin/sh", "-c", "echo $HOME"]);
/// ```
pub fn shell(line: impl Into<String>) -> [String; 3] {
    ["/bin/sh".into(), "-c".into(), line.into()]
}

fn spaced(before: &str) -> String {
    if before.is_empty() { String::new() } else { format!("{} ", before.trim_end()) }
}

/// `NAME=value` in front of a command.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Where the last command of `a && b; c` starts; `None` when the line is anything but such a chain.
fn last_command(line: &str) -> Option<usize> {
    let (mut start, mut quote, mut escaped) = (0, None, false);
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            (_, '`') => return None,
            (_, '$') if matches!(chars.peek(), Some((_, '('))) => past_substitution(&mut chars)?,
            (_, '$') if matches!(chars.peek(), Some((_, '{'))) => {
                chars.find(|(_, c)| *c == '}')?;
            }
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '&') if matches!(chars.peek(), Some((_, '&'))) => {
                chars.next();
                start = at + 2;
            }
            // Redirections do not hinder `exec`.
            (None, '>' | '<') => {
                if matches!(chars.peek(), Some((_, '&'))) {
                    chars.next();
                }
            }
            (None, ';') => start = at + 1,
            (None, '#') => return None,
            (None, c) if OPERATORS.contains(&c) => return None,
            _ => {}
        }
    }
    (quote.is_none() && !escaped).then_some(start)
}

/// Moves behind the bracket that closes `$(...)`.
fn past_substitution(chars: &mut impl Iterator<Item = (usize, char)>) -> Option<()> {
    let (mut depth, mut quote, mut escaped) = (0, None, false);
    for (_, c) in chars {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 1 => return Some(()),
            (None, ')') => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::exec_line;

    #[test]
    fn what_one_program_is_replaces_the_shell() {
        for (line, expected) in [
            ("", ""),
            ("  ", ""),
            ("node .", "exec node ."),
            ("  ./app  ", "exec ./app"),
            ("echo 'a && b'", "exec echo 'a && b'"),
            ("echo \"a; b\"", "exec echo \"a; b\""),
            ("serve -p ${PORT:-80}", "exec serve -p ${PORT:-80}"),
            ("serve 2>&1", "exec serve 2>&1"),
            ("A=1 B=2 ./app", "exec env A=1 B=2 ./app"),
            ("A=1", "A=1"),
            ("cd web && npm start", "cd web && exec npm start"),
            ("a && b && C=1 d", "a && b && exec env C=1 d"),
            ("cd web", "cd web"),
            ("exec ./app", "exec ./app"),
            ("a; b", "a; exec b"),
            ("a; b && c", "a; b && exec c"),
            ("a;", "a;"),
            ("trap x TERM; a", "trap x TERM; a"),
            ("for x in y; do z; done", "for x in y; do z; done"),
            ("a & b", "a & b"),
            ("a || b", "a || b"),
            ("a | b", "a | b"),
            ("(a)", "(a)"),
            ("a `b`", "a `b`"),
            ("a $(b)", "exec a $(b)"),
            ("a \"$(b)\"", "exec a \"$(b)\""),
            ("a $(b | c; d && e ')' (f)) g", "exec a $(b | c; d && e ')' (f)) g"),
            ("a $(b) && c $(d)", "a $(b) && exec c $(d)"),
            ("a $(b", "a $(b"),
            ("a $(b) | c", "a $(b) | c"),
            ("A=$(b) c", "A=$(b) c"),
            ("a 'unfinished", "a 'unfinished"),
            ("a\nb", "a\nb"),
            ("a && ", "a &&"),
            ("if x; then y; fi", "if x; then y; fi"),
        ] {
            assert_eq!(exec_line(line), expected, "{line:?}");
        }
    }
}
