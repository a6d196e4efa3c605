//! Tokens that end while the work goes on.

use std::time::{Duration, Instant};

use floe::effects::registry::CopyOptions;

use crate::carry::carry_with;
use crate::registries::Kind;
use crate::stand::{Asks, Stand, Way, tag};
use crate::token_service::Life;
use crate::wait::{seconds, until};
use crate::ways_in::{push, push_layers};

/// Its end falls on a full second: a token lives up to a second less. On a busy machine even a new one has to reach
/// the registry before it ends.
const SHORT: Duration = seconds(3);

fn with_tokens(kind: Kind) -> Way {
    Way {
        kind,
        tls: true,
        asks: Asks::Token,
    }
}

/// Works until this many tokens for writing were asked for; everything has to succeed meanwhile.
async fn work_until_tokens(stand: &Stand, wanted: usize) {
    let (client, repository) = (stand.client(), stand.repository("team/app"));
    let tokens = stand.tokens.as_ref().unwrap();
    let (mut seen, mut round) = (0, 0);
    until("enough tokens were asked for", seconds(60), async || {
        round += 1;
        let manifest = push(&client, &repository, format!("{round}").as_bytes()).await;
        let name = tag(&format!("v{round}"));
        client.tag(&repository, &name, &manifest).await.unwrap();
        let asked = tokens.take_asked();
        seen += asked
            .iter()
            .filter(|(_, scope)| scope.ends_with("push"))
            .count();
        (seen >= wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_that_the_registry_refuses_before_its_time_is_replaced() {
    for kind in [Kind::Distribution, Kind::Referrers] {
        // As with a clock that is behind: the client thinks that the token is good for five minutes.
        let life = Life {
            real: SHORT,
            told: seconds(300),
        };
        let stand = Stand::start_with(with_tokens(kind), life).await;
        work_until_tokens(&stand, 3).await;
    }
}

#[tokio::test]
async fn a_token_is_renewed_when_its_time_is_over() {
    for kind in [Kind::Distribution, Kind::Referrers] {
        let life = Life {
            real: seconds(300),
            told: SHORT,
        };
        let stand = Stand::start_with(with_tokens(kind), life).await;
        work_until_tokens(&stand, 3).await;
    }
}

#[tokio::test]
async fn a_copy_goes_on_when_the_tokens_of_both_registries_end_in_its_middle() {
    let life = Life {
        real: SHORT,
        told: seconds(300),
    };
    for (from, to) in [
        (Kind::Distribution, Kind::Referrers),
        (Kind::Referrers, Kind::Distribution),
    ] {
        let from = Stand::start_with(with_tokens(from), life).await;
        let to = Stand::start_with(with_tokens(to), life).await;
        let (client, repository) = (from.client(), from.repository("team/app"));
        let mut count = 100;
        let mut ended = [false, false];
        until("tokens ended on both sides", seconds(180), async || {
            // More each time, one after the other, until the copy takes longer than a token lives.
            count *= 2;
            let layers = (0..count).map(|number| format!("{number} of {count}"));
            let layers: Vec<String> = layers.collect();
            let root = push_layers(&client, &repository, &layers).await;
            for stand in [&from, &to] {
                stand.tokens.as_ref().unwrap().take_asked();
            }
            let options = CopyOptions {
                side_by_side: 1,
                ..CopyOptions::default()
            };
            let root = root.digest().as_str();
            carry_with(&from, &to, "team/app", root, &options).await;
            for (ended, stand) in ended.iter_mut().zip([&from, &to]) {
                *ended |= was_replaced(&stand.tokens.as_ref().unwrap().take_asked());
            }
            (ended == [true, true]).then_some(())
        })
        .await;
    }
}

/// Whether a token was asked for again after about its life.
fn was_replaced(asked: &[(Instant, String)]) -> bool {
    asked.iter().any(|(first, scope)| {
        let again = |(later, other): &(Instant, String)| {
            other == scope && later.duration_since(*first) > SHORT / 2
        };
        asked.iter().any(again)
    })
}
