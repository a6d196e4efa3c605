//! Tokens that end while the work goes on.

use std::time::Duration;

use crate::carry::carry;
use crate::registries::Kind;
use crate::stand::{Asks, Stand, Way, tag};
use crate::token_service::Life;
use crate::wait::{seconds, until};
use crate::ways_in::{push, push_layers};

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
    until("enough tokens were asked for", seconds(30), async || {
        round += 1;
        let manifest = push(&client, &repository, format!("{round}").as_bytes()).await;
        let name = tag(&format!("v{round}"));
        client.tag(&repository, &name, &manifest).await.unwrap();
        let asked = tokens.take_asked();
        seen += asked.iter().filter(|scope| scope.ends_with("push")).count();
        (seen >= wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_token_that_the_registry_refuses_before_its_time_is_replaced() {
    for kind in [Kind::Distribution, Kind::Referrers] {
        // As with a clock that is behind: the client thinks that the token is good for five minutes.
        let life = Life {
            real: Duration::from_secs(1),
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
            told: Duration::from_secs(1),
        };
        let stand = Stand::start_with(with_tokens(kind), life).await;
        work_until_tokens(&stand, 3).await;
    }
}

#[tokio::test]
async fn a_copy_goes_on_when_the_tokens_of_both_registries_end_in_its_middle() {
    // A token counts until the next full second at most, and this takes several.
    let life = Life {
        real: Duration::ZERO,
        told: seconds(300),
    };
    for (from, to) in [
        (Kind::Distribution, Kind::Referrers),
        (Kind::Referrers, Kind::Distribution),
    ] {
        let from = Stand::start_with(with_tokens(from), life).await;
        let to = Stand::start_with(with_tokens(to), life).await;
        let (client, repository) = (from.client(), from.repository("team/app"));
        let (mut asked, mut round) = ([0, 0], 0);
        until("tokens ended on both sides", seconds(60), async || {
            round += 1;
            let layers: Vec<String> = (0..60).map(|layer| format!("{round} {layer}")).collect();
            let root = push_layers(&client, &repository, &layers).await;
            for stand in [&from, &to] {
                stand.tokens.as_ref().unwrap().take_asked();
            }
            carry(&from, &to, "team/app", root.digest().as_str()).await;
            for (count, stand) in asked.iter_mut().zip([&from, &to]) {
                *count = stand
                    .tokens
                    .as_ref()
                    .unwrap()
                    .take_asked()
                    .len()
                    .max(*count);
            }
            // The engine asks for one token, or two where it also reads from the target; more were replaced.
            asked.iter().all(|count| *count >= 3).then_some(())
        })
        .await;
    }
}
