//! What each program does with what is attached, with a tag that is taken, and with bytes that are not the right ones.

use std::collections::BTreeMap;

use crate::cost::run;
use crate::oci::Repository;
use crate::place::{ATTACHED, INDEX, Place, SMALL};
use crate::programs::{Program, Tagged};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    Attached,
    Taken,
    Altered,
}

pub type Answers = BTreeMap<(Question, Program), String>;

impl Question {
    pub const ALL: [Self; 3] = [Self::Attached, Self::Taken, Self::Altered];

    /// As the table asks it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Attached => "copy: referrers and `.sig` carried",
            Self::Taken => "copy: the target tag names another digest",
            Self::Altered => "copy: manifest altered on the way, source by tag",
        }
    }
}

/// Looks at all programs.
pub async fn look(place: &Place) -> Answers {
    let mut answers = Answers::new();
    for program in Program::ALL
        .into_iter()
        .filter(|one| *one != Program::Floor)
    {
        let slug = program.name().replace(", ", "-");
        answers.insert(
            (Question::Attached, program),
            attached(place, program, &slug).await,
        );
        answers.insert(
            (Question::Taken, program),
            taken(place, program, &slug).await,
        );
        answers.insert(
            (Question::Altered, program),
            altered(place, program, &slug).await,
        );
    }
    answers
}

async fn attached(place: &Place, program: Program, slug: &str) -> String {
    let name = format!("bench/attached-{slug}");
    let from = Tagged::new(place.from.address, ATTACHED, "v1");
    let to = Tagged::new(place.to.address, &name, "v1");
    let ended = run(program.copy(&from, &to)).await;
    assert!(ended.status.success(), "{slug}: copy what has attachments");
    let there = Repository::new(place.to.address, &name);
    let root = there.digest("v1").await.expect("it was copied");
    let referrer = !there.referrers(&root).await.is_empty();
    let tag = format!("{}.sig", root.replace(':', "-"));
    let signature = there.digest(&tag).await.is_some();
    match (referrer, signature) {
        (true, true) => "all".to_owned(),
        (false, false) => "none".to_owned(),
        (true, false) => "referrers alone".to_owned(),
        (false, true) => "`.sig` alone".to_owned(),
    }
}

async fn taken(place: &Place, program: Program, slug: &str) -> String {
    let name = format!("bench/taken-{slug}");
    let to = Tagged::new(place.to.address, &name, "v1");
    let first = Tagged::new(place.from.address, SMALL, "v1");
    let other = Tagged::new(place.from.address, INDEX, "v1");
    let ended = run(program.copy(&first, &to)).await;
    assert!(ended.status.success(), "{slug}: the first copy");
    let there = Repository::new(place.to.address, &name);
    let before = there.digest("v1").await;
    let ended = run(program.copy(&other, &to)).await;
    let after = there.digest("v1").await;
    what_became(before == after, ended.status.code(), "overwritten")
}

async fn altered(place: &Place, program: Program, slug: &str) -> String {
    let name = format!("bench/altered-{slug}");
    let from = Tagged::new(place.from_counted.address, SMALL, "v1");
    let to = Tagged::new(place.to.address, &name, "v1");
    place.from_counted.alter(true);
    let ended = run(program.copy(&from, &to)).await;
    place.from_counted.alter(false);
    let there = Repository::new(place.to.address, &name).digest("v1").await;
    what_became(there.is_none(), ended.status.code(), "published")
}

fn what_became(held: bool, code: Option<i32>, otherwise: &str) -> String {
    let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit {code}"));
    let did = if held { "refused" } else { otherwise };
    format!("{did}, {code}")
}
