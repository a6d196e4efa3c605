use std::fmt::Write as _;

/// What was looked at.
pub(super) struct Counts {
    /// Files that are documents.
    pub(super) documents: usize,
    /// Rules, those of the artifact's own included.
    pub(super) rules: usize,
    /// Rules of the artifact's own.
    pub(super) own: usize,
    /// Rules that speak of documents where there are none.
    pub(super) left_out: usize,
}

impl Counts {
    /// The same in one sentence.
    pub(super) fn note(&self, media_type: &str) -> String {
        let rules = self.words();
        if self.documents == 0 {
            return format!(
                "no documents: the artifact ({media_type}) holds no YAML or JSON files{rules}"
            );
        }
        format!("{} checked{rules}", counted(self.documents, "document"))
    }

    fn words(&self) -> String {
        if self.rules == 0 {
            return String::new();
        }
        let mut words = format!("; {}", counted(self.rules, "rule"));
        if self.own > 0 {
            let _ = write!(words, " ({} of the artifact's own)", self.own);
        }
        if self.left_out > 0 {
            let _ = write!(
                words,
                ", {} left out that speak of documents",
                self.left_out
            );
        }
        words
    }
}

fn counted(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}
