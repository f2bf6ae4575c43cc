//! Figures and Markdown.

use std::fmt::Write as _;
use std::time::Duration;

/// Measured values of one thing.
#[derive(Debug, Clone, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The value below which `share` (0 to 1) of all values are; NaN when there are none.
    pub fn quantile(&self, share: f64) -> f64 {
        let place = (self.0.len().saturating_sub(1) as f64 * share).round() as usize;
        self.0.get(place).copied().unwrap_or(f64::NAN)
    }

    /// The value in the middle.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The smallest one.
    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Median, 99th percentile, smallest and largest, in milliseconds.
    pub fn millis(&self) -> String {
        let [p50, p99, min, max] = [0.5, 0.99, 0.0, 1.0].map(|share| self.quantile(share));
        format!("p50 {p50:.1} ms, p99 {p99:.1}, min {min:.1}, max {max:.1} (n={})", self.len())
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut series = Series(values.into_iter().collect());
        series.0.sort_by(f64::total_cmp);
        series
    }
}

/// Milliseconds with their fraction.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A Markdown report that grows.
#[derive(Debug, Default)]
pub struct Report {
    text: String,
    problems: Vec<String>,
}

impl Report {
    /// A heading.
    pub fn section(&mut self, title: &str) {
        let _ = write!(self.text, "\n### {title}\n\n");
    }

    /// A paragraph.
    pub fn say(&mut self, text: impl AsRef<str>) {
        let _ = write!(self.text, "{}\n\n", text.as_ref());
    }

    /// A table.
    pub fn table<R: AsRef<[String]>>(&mut self, head: &[&str], rows: impl IntoIterator<Item = R>) {
        let _ = writeln!(self.text, "| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
        for row in rows {
            let cells: Vec<String> =
                row.as_ref().iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
            let _ = writeln!(self.text, "| {} |", cells.join(" | "));
        }
        self.text.push('\n');
    }

    /// Something that must not be: the proof does not hold.
    pub fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// Several of them.
    pub fn problems(&mut self, place: &str, texts: impl IntoIterator<Item = String>) {
        self.problems.extend(texts.into_iter().map(|text| format!("{place}: {text}")));
    }

    /// Whether it holds so far.
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    /// What must not be, so far.
    pub fn found(&self) -> &[String] {
        &self.problems
    }

    /// The whole text.
    pub fn text(&self) -> String {
        let mut text = self.text.trim().to_owned();
        if !self.problems.is_empty() {
            text.push_str("\n\n### What does not hold\n");
            self.problems.iter().for_each(|problem| {
                let _ = write!(text, "\n- {}", problem.replace('\n', " "));
            });
        }
        text
    }
}
