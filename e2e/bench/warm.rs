//! Giving a tag inside a process that is up, as the operator does, beside the same requests without any check.

use std::time::Instant;

use floe::domain::artifact::{Repository, Tag};
use floe::effects::registry::{Access, Reference, Registry};

use crate::floor;
use crate::place::{Place, SMALL};
use crate::statistics::Sample;

/// Rounds, each with one tag of either.
const ROUNDS: usize = 200;

/// Times of both, in seconds.
#[derive(Default)]
pub struct Warm {
    pub floe: Sample,
    pub bare: Sample,
}

/// Measures both in turn, over connections that stay open.
pub async fn measure(place: &Place) -> Warm {
    let text = format!("{}/{SMALL}", place.from.address);
    let repository: Repository = text.parse().expect("a repository");
    let mut access = Access::to(&repository);
    access.plain_http = true;
    let registry = Registry::new(&access).expect("make floe's client");
    let client = floor::client();
    let mut warm = Warm::default();
    for round in 0..=ROUNDS {
        let took = [
            of_floe(&registry, &repository, &format!("warm-floe-{round}")).await,
            bare(&client, &text, &format!("warm-bare-{round}")).await,
        ];
        if round > 0 {
            warm.floe.push(took[0]);
            warm.bare.push(took[1]);
        }
    }
    warm
}

async fn of_floe(registry: &Registry, repository: &Repository, new: &str) -> f64 {
    let from: Tag = "v1".parse().expect("a tag");
    let new: Tag = new.parse().expect("a tag");
    let began = Instant::now();
    let read = registry
        .get_manifest(repository, &Reference::from(from))
        .await;
    let manifest = read.expect("read the manifest").expect("it is there");
    let tagged = registry.tag(repository, &new, &manifest).await;
    let took = began.elapsed();
    tagged.expect("give the tag");
    took.as_secs_f64()
}

/// GET, HEAD, PUT, HEAD.
async fn bare(client: &reqwest::Client, repository: &str, new: &str) -> f64 {
    let began = Instant::now();
    let (media_type, bytes) = floor::get(client, repository, "v1").await;
    let before = floor::head(client, repository, new).await;
    floor::put(client, repository, new, media_type, bytes).await;
    let after = floor::head(client, repository, new).await;
    let took = began.elapsed();
    assert!(!before && after, "the tag is new");
    took.as_secs_f64()
}
