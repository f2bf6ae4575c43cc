//! Texts in files: one pass over each file finds the keywords of all patterns at once; a regular expression runs only on
//! lines that hold one of its keywords.

use std::ops::Range;
use std::sync::{LazyLock, OnceLock};

use aho_corasick::AhoCorasick;
use regex::bytes::{Captures, Regex, RegexBuilder};

use super::class::Class;
use super::facts::{FACTS, Fact};
use super::rule::{Pattern, Verdict};
use super::rules;

/// Around a keyword in a long line, so much is looked at.
const WINDOW: usize = 3_000;

/// More matches of one pattern in one file tell nothing new.
const MAX_MATCHES: usize = 200;

/// Who wants a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A rule, by its place in the table.
    Rule(usize),
    /// A fact that checks of the tree read.
    Fact(Fact),
}

/// A match of a pattern, for the pattern's judge.
pub(crate) struct Found<'t> {
    pub(crate) path: &'t str,
    pub(crate) class: Class,
    text: &'t [u8],
    /// Where the line begins and ends in `text`; of a long line, the part around the keyword.
    line: (usize, usize),
    captures: Captures<'t>,
}

impl Found<'_> {
    /// A group of the match; empty when it took no part.
    pub(crate) fn group(&self, number: usize) -> &str {
        self.captures.get(number).and_then(|group| std::str::from_utf8(group.as_bytes()).ok()).unwrap_or_default()
    }

    /// What is reported: the group `value`, else group 1, else the whole match.
    pub(crate) fn value(&self) -> &str {
        let group = self.captures.name("value").or(self.captures.get(1)).or(self.captures.get(0));
        group.and_then(|group| std::str::from_utf8(group.as_bytes()).ok()).unwrap_or_default()
    }

    /// The line; of a long line, the part around the keyword.
    pub(crate) fn line(&self) -> &str {
        std::str::from_utf8(&self.text[self.line.0..self.line.1]).unwrap_or_default()
    }

    /// The line up to the match.
    pub(crate) fn line_before(&self) -> &str {
        let start = self.line.0 + self.captures.get(0).map_or(0, |all| all.start());
        std::str::from_utf8(&self.text[self.line.0.min(start)..start]).unwrap_or_default()
    }

    /// Whether the line is a comment and nothing else.
    pub(crate) fn in_comment(&self) -> bool {
        let line = self.line().trim_start();
        // `#` begins private fields in JavaScript, attributes in Rust.
        let hash = || {
            !["js", "ts", "mjs", "cjs", "jsx", "tsx", "rs", "vue", "svelte", "astro"]
                .contains(&self.path.rsplit('.').next().unwrap_or_default())
        };
        line.starts_with("//") || line.starts_with("/*") || line.starts_with("* ") || line.starts_with('#') && hash()
    }

    /// Up to `limit` bytes before the line, cut at a character.
    pub(crate) fn before(&self, limit: usize) -> String {
        String::from_utf8_lossy(&self.text[self.line.0.saturating_sub(limit)..self.line.0]).into_owned()
    }

    /// Up to `limit` bytes from the match on.
    pub(crate) fn after(&self, limit: usize) -> String {
        let end = self.line.0 + self.captures.get(0).map_or(0, |all| all.end());
        String::from_utf8_lossy(&self.text[end..(end + limit).min(self.text.len())]).into_owned()
    }

    /// Whether the file holds this text.
    pub(crate) fn file_has(&self, text: &str) -> bool {
        memmem(self.text, text.as_bytes())
    }
}

fn memmem(text: &[u8], needle: &[u8]) -> bool {
    AhoCorasick::new([needle]).is_ok_and(|one| one.is_match(text))
}

/// A match that its pattern's judge let through.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) owner: Owner,
    pub(crate) what: &'static str,
    pub(crate) line: u32,
    pub(crate) value: String,
    pub(crate) verdict: Verdict,
}

struct Entry {
    owner: Owner,
    pattern: &'static Pattern,
    regex: OnceLock<Option<Regex>>,
}

struct Scanner {
    keywords: AhoCorasick,
    /// By keyword: the entries that have it.
    wanted: Vec<Vec<usize>>,
    entries: Vec<Entry>,
}

static SCANNER: LazyLock<Option<Scanner>> = LazyLock::new(|| {
    let mut entries = Vec::new();
    for (place, rule) in rules().enumerate() {
        entries.extend(rule.check.patterns().iter().map(|pattern| (Owner::Rule(place), pattern)));
    }
    entries.extend(FACTS.iter().map(|(fact, pattern)| (Owner::Fact(*fact), pattern)));
    let mut words: Vec<String> = Vec::new();
    let mut wanted: Vec<Vec<usize>> = Vec::new();
    for (place, (_, pattern)) in entries.iter().enumerate() {
        for keyword in pattern.keywords {
            let word = keyword.to_ascii_lowercase();
            let at = words.iter().position(|known| *known == word).unwrap_or_else(|| {
                words.push(word);
                wanted.push(Vec::new());
                words.len() - 1
            });
            wanted[at].push(place);
        }
    }
    let keywords = AhoCorasick::builder().ascii_case_insensitive(true).build(&words).ok()?;
    let entries = entries.into_iter().map(|(owner, pattern)| Entry { owner, pattern, regex: OnceLock::new() });
    Some(Scanner { keywords, wanted, entries: entries.collect() })
});

impl Entry {
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| compile(self.pattern.regex)).as_ref()
    }
}

fn compile(regex: &str) -> Option<Regex> {
    RegexBuilder::new(regex).unicode(false).size_limit(4 << 20).build().ok()
}

/// Everything that patterns find in one file.
pub(crate) fn scan(path: &str, class: Class, text: &[u8]) -> Vec<Match> {
    let Some(scanner) = SCANNER.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    // By entry: the end of the last line that it has seen, and how often it matched.
    let mut seen: Vec<(usize, usize)> = vec![(0, 0); scanner.entries.len()];
    let (mut counted, mut line_number) = (0, 1u32);
    let tests = if path.ends_with(".rs") { rust_tests(text) } else { Vec::new() };
    for hit in scanner.keywords.find_overlapping_iter(text) {
        for &place in &scanner.wanted[hit.pattern().as_usize()] {
            let (looked, matches) = seen[place];
            if hit.start() < looked || matches >= MAX_MATCHES {
                continue;
            }
            let window = line_around(text, hit.start(), hit.end());
            seen[place].0 = window.1.max(looked);
            let entry = &scanner.entries[place];
            let Some(regex) = entry.regex() else { continue };
            for captures in regex.captures_iter(&text[window.0..window.1]) {
                let place_of = captures.get(0).map_or(0, |all| window.0 + all.start());
                let class = if tests.iter().any(|of| of.contains(&place_of)) { class.and(Class::TEST) } else { class };
                let candidate = Found { path, class, text, line: window, captures };
                let Some(verdict) = (entry.pattern.judge)(&candidate) else { continue };
                if place_of >= counted {
                    line_number += newlines(&text[counted..place_of]);
                    counted = place_of;
                }
                let line = if place_of >= counted { line_number } else { 1 + newlines(&text[..place_of]) };
                let value = candidate.value().to_owned();
                found.push(Match { owner: entry.owner, what: entry.pattern.what, line, value, verdict });
                seen[place].1 += 1;
            }
        }
    }
    found
}

/// Where a file of Rust holds tests: the items below `#[cfg(test)]` and `#[test]` that begin a line, up to their brace
/// at the beginning of one.
fn rust_tests(text: &[u8]) -> Vec<Range<usize>> {
    const MARKS: [&[u8]; 3] = [b"#[cfg(test)]\n", b"#[test]\n", b"#[tokio::test"];
    let mut tests: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let (start, marked) = (at, MARKS.iter().any(|mark| line.starts_with(mark)));
        at += line.len();
        if !marked || tests.last().is_some_and(|last| start < last.end) {
            continue;
        }
        // `mod tests;` has them in a file of its own.
        let body = text[at..].iter().take(WINDOW).position(|b| matches!(b, b'{' | b';'));
        if let Some(open) = body.filter(|body| text[at + body] == b'{') {
            let end =
                text[at + open..].windows(2).position(|two| two == b"\n}").map_or(text.len(), |end| at + open + end);
            tests.push(start..end);
        }
    }
    tests
}

fn line_around(text: &[u8], start: usize, end: usize) -> (usize, usize) {
    let low = start.saturating_sub(WINDOW);
    let high = (end + WINDOW).min(text.len());
    let from = text[low..start].iter().rposition(|b| *b == b'\n').map_or(low, |at| low + at + 1);
    let to = text[end..high].iter().position(|b| *b == b'\n').map_or(high, |at| end + at);
    (from, to)
}

fn newlines(text: &[u8]) -> u32 {
    u32::try_from(text.iter().filter(|b| **b == b'\n').count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_within_files_of_rust() {
        let text =
            "#[cfg(test)]\nmod more;\nfn a() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn b() {}\n}\nfn c() {}\n";
        let tests = rust_tests(text.as_bytes());
        let begin = text.rfind("#[cfg").unwrap();
        assert_eq!(tests.first(), Some(&(begin..text.find("\n}\nfn c").unwrap())));
        assert_eq!(tests.len(), 1);
    }

    #[test]
    fn every_pattern_compiles_and_its_keywords_are_lower_case_or_cased_alike() {
        let scanner = SCANNER.as_ref().expect("the keywords make an automaton");
        assert!(scanner.entries.len() > 100, "{}", scanner.entries.len());
        for entry in &scanner.entries {
            assert!(!entry.pattern.keywords.is_empty(), "{}", entry.pattern.regex);
            assert!(entry.regex().is_some(), "{:?} {}", entry.owner, entry.pattern.regex);
        }
    }
}
