//! `.gitignore` and `.dockerignore`: which paths they leave out.

/// The patterns of one file.
#[derive(Debug, Default)]
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    parts: Vec<String>,
    /// `!`: what it matches is kept.
    keep: bool,
}

impl Ignore {
    /// The patterns of a `.gitignore`.
    pub(crate) fn git(text: &str) -> Ignore {
        Ignore::read(text, from_root)
    }

    /// Every pattern begins at the root of the context (Docker's `.dockerignore`).
    pub(crate) fn docker(text: &str) -> Ignore {
        Ignore::read(text, |pattern| pattern.trim_start_matches("./").trim_matches('/').to_owned())
    }

    fn read(text: &str, anchor: impl Fn(&str) -> String) -> Ignore {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let patterns = lines.map(|line| {
            let (keep, pattern) = line.strip_prefix('!').map_or((false, line), |kept| (true, kept));
            Pattern { parts: anchor(pattern.trim()).split('/').map(str::to_owned).collect(), keep }
        });
        Ignore { patterns: patterns.collect() }
    }

    /// Whether `path`, or a folder that it lies in, is left out. The last pattern that matches decides.
    pub(crate) fn leaves_out(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let mut out = false;
        for pattern in &self.patterns {
            if pattern.keep != out {
                continue;
            }
            if (1..=parts.len()).any(|end| matches(&pattern.parts, &parts[..end])) {
                out = !pattern.keep;
            }
        }
        out
    }
}

/// A pattern of git's, as one that begins at the root: without a slash it matches at any depth (gitignore(5)).
pub(crate) fn from_root(pattern: &str) -> String {
    let inner = pattern.trim_end_matches('/');
    if inner.contains('/') { inner.trim_start_matches('/').to_owned() } else { format!("**/{inner}") }
}

/// Whether the parts of a path match those of a pattern; `**` stands for any number of them.
fn matches(pattern: &[String], path: &[&str]) -> bool {
    // reachable[j]: the pattern so far matches the first j parts.
    let mut reachable = vec![false; path.len() + 1];
    reachable[0] = true;
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        if part == "**" {
            let mut any = false;
            for (at, reached) in reachable.iter().enumerate() {
                any |= reached;
                next[at] = any;
            }
        } else {
            for at in 0..path.len() {
                next[at + 1] = reachable[at] && wildcard(part, path[at]);
            }
        }
        reachable = next;
    }
    reachable[path.len()]
}

/// `*`, `?` and `[...]` within one part of a path.
pub(super) fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
                continue;
            }
            Some(_) => {
                if let Some(width) = one(&pattern[p..], text[t]) {
                    p += width;
                    t += 1;
                    continue;
                }
            }
            None => {}
        }
        let Some((star, from)) = retry else { return false };
        retry = Some((star, from + 1));
        p = star + 1;
        t = from + 1;
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How many characters of the pattern match one character of the text.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '[' => {
            let close = pattern.iter().skip(2).position(|c| *c == ']')? + 2;
            let negated = matches!(pattern[1], '!' | '^');
            let set = &pattern[1 + usize::from(negated)..close];
            let mut hit = false;
            let mut at = 0;
            while at < set.len() {
                if set.get(at + 1) == Some(&'-') && at + 2 < set.len() {
                    hit |= (set[at]..=set[at + 2]).contains(&c);
                    at += 3;
                } else {
                    hit |= set[at] == c;
                    at += 1;
                }
            }
            (hit != negated).then_some(close + 1)
        }
        '\\' if pattern.len() > 1 => (pattern[1] == c).then_some(2),
        literal => (literal == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_and_docker_differ() {
        let git = Ignore::git("node_modules\n/dist\n*.log\n!keep.log\nbuild/\ndocs/*.txt\n");
        for (path, out) in [
            ("node_modules/a/b.js", true),
            ("web/node_modules/x", true),
            ("dist/a", true),
            ("web/dist/a", false),
            ("a/b.log", true),
            ("a/keep.log", false),
            ("web/build/x", true),
            ("docs/a.txt", true),
            ("docs/b/a.txt", false),
        ] {
            assert_eq!(git.leaves_out(path), out, "git {path}");
        }
        let docker = Ignore::docker("node_modules\n**/*.key\n*\n!src\n!package*.json\n# x\n");
        for (path, out) in
            [("src/a.js", false), ("web/a", true), ("package-lock.json", false), ("a/b.key", true), (".git/HEAD", true)]
        {
            assert_eq!(docker.leaves_out(path), out, "docker {path}");
        }
        assert!(!Ignore::docker("node_modules").leaves_out("web/node_modules/x"));
    }

    #[test]
    fn wildcards() {
        for (pattern, text, hit) in [
            ("*.[ch]", "a.c", true),
            ("*.[!ch]", "a.c", false),
            ("a?c", "abc", true),
            ("[a-c]*x", "bxyx", true),
            ("*", "", true),
            ("a*b*c", "aXbYbc", true),
            ("a\\*", "a*", true),
            ("[", "[", false),
        ] {
            assert_eq!(wildcard(pattern, text), hit, "{pattern} {text}");
        }
    }
}
