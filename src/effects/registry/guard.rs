//! Which addresses may be spoken to, and how they are written in messages.

use std::error::Error;
use std::net::SocketAddr;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use super::addresses::Addresses;

/// Resolver that leaves out addresses that may not be spoken to, so that a name cannot lead there
/// (also not by another answer at the second look: the checked address is the dialled one).
pub(in crate::effects) struct GuardedResolver<R = SystemResolver> {
    addresses: Addresses,
    inner: R,
}

/// Asks the system.
pub(in crate::effects) struct SystemResolver;

impl GuardedResolver {
    pub(in crate::effects) fn new(addresses: Addresses) -> Self {
        Self {
            addresses,
            inner: SystemResolver,
        }
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl<R: Resolve> Resolve for GuardedResolver<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let (addresses, resolving) = (self.addresses.clone(), self.inner.resolve(name));
        Box::pin(async move {
            let mut problem = None;
            let mut allowed: Vec<SocketAddr> = Vec::new();
            for found in resolving.await? {
                match addresses.problem(found.ip()) {
                    Some(why) => problem = Some(why),
                    None => allowed.push(found),
                }
            }
            match problem {
                Some(why) if allowed.is_empty() => Err::<Addrs, Box<dyn Error + Send + Sync>>(
                    format!("the name leads to {why}").into(),
                ),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// Whether this URL may be spoken to at all; else why not.
pub(in crate::effects) fn check(
    url: &Url,
    plain_http: bool,
    addresses: &Addresses,
) -> Result<(), String> {
    let scheme_allowed = url.scheme() == "https" || (plain_http && url.scheme() == "http");
    if !scheme_allowed {
        return Err(format!("'{}' is not https", redacted(url)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("'{}' carries user information", redacted(url)));
    }
    let problem = match url.host() {
        Some(Host::Ipv4(address)) => addresses.problem(address.into()),
        Some(Host::Ipv6(address)) => addresses.problem(address.into()),
        // Its addresses are checked when it is dialled.
        Some(Host::Domain(_)) => None,
        None => return Err(format!("'{}' has no host", redacted(url))),
    };
    match problem {
        Some(why) => Err(format!("'{}' is {why}", redacted(url))),
        None => Ok(()),
    }
}

/// Scheme, host and port are the same.
pub(in crate::effects) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// The URL for messages: without user information, query and fragment.
pub(in crate::effects) fn redacted(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    shortened(
        &format!("{}://{host}{port}{}", url.scheme(), url.path()),
        200,
    )
}

/// Foreign text for messages: one line, without control characters, at most `most` characters.
pub(in crate::effects) fn shortened(text: &str, most: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most + 1)
        .collect();
    if clean.chars().count() <= most {
        return clean.trim().to_owned();
    }
    clean
        .chars()
        .take(most.saturating_sub(3))
        .chain("...".chars())
        .collect()
}

/// The message with all of its causes.
pub(in crate::effects) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        next = cause.source();
    }
    shortened(&words, 300)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Hosts of URLs that must lead to no connection.
    const FORBIDDEN: &[&str] = &[
        // Where a node tells who it is, as everybody writes it.
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.42.42",
        "169.254.0.1",
        // The same address in the other ways of writing that a URL allows.
        "2852039166",
        "0xa9fea9fe",
        "0xA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "025177524776",
        "169.254.43518",
        "169.16689662",
        "169。254。169。254",
        "169.254.169.254.",
        "１６９.254.169.254",
        // Metadata services elsewhere.
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        // The kernel takes these for loopback.
        "0.0.0.0",
        "0",
        "0.1.2.3",
        // Nothing that is a registry.
        "255.255.255.255",
        "224.0.0.1",
        // IPv6 of its own.
        "[::]",
        "[fe80::1]",
        "[febf:ffff::1]",
        "[fe80::a9fe:a9fe]",
        "[ff02::1]",
        "[fd00:ec2::254]",
        "[fd00:ec2::23]",
        "[fd20:ce::254]",
        "[fd00:42::42]",
        // IPv4 inside IPv6: mapped, translated, compatible.
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[::ffff:0:169.254.169.254]",
        "[::169.254.169.254]",
        "[::ffff:168.63.129.16]",
        "[::ffff:0.0.0.0]",
        // NAT64, the well-known prefix and those of one's own with each length of a prefix.
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::169.254.169.254]",
        "[64:ff9b:1:a9fe:a9:fe00::]",
        "[64:ff9b:1:a9:fe:a9fe::]",
        "[64:ff9b:1:0:a9:fea9:fe00:0]",
        // 6to4, Teredo (its server, its client), ISATAP.
        "[2002:a9fe:a9fe::1]",
        "[2001:0:a9fe:a9fe::1]",
        "[2001:0:4136:e378:8000:63bf:5601:5601]",
        "[2001:db8::5efe:169.254.169.254]",
        "[2001:db8::200:5efe:a9fe:a9fe]",
    ];

    #[test]
    fn no_form_of_a_forbidden_address_is_spoken_to() {
        for bad in FORBIDDEN {
            let url: Url = format!("https://{bad}/v2/").parse().unwrap();
            let refused = check(&url, true, &Addresses::default());
            assert!(refused.is_err(), "{bad}");
        }
        // A zone id is no part of a URL.
        for bad in ["https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/"] {
            assert!(bad.parse::<Url>().is_err(), "{bad}");
        }
    }

    #[test]
    fn other_addresses_are_spoken_to() {
        for good in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "100.100.100.201",
            "169.253.255.255",
            "169.255.0.0",
            "[::1]:5000",
            "[2001:db8::1]",
            "[fd00:ec3::254]",
            "[fec0::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b:1::10.0.0.1]",
            "[2002:0a00:0001::1]",
            "[2001:db8::a9fe:a9fe]",
            "registry.example",
        ] {
            let url = format!("https://{good}/").parse().unwrap();
            assert_eq!(check(&url, false, &Addresses::default()), Ok(()), "{good}");
        }
    }

    /// Answers with the next of these, for any name.
    #[derive(Clone)]
    struct Answers(Arc<Mutex<Vec<Vec<&'static str>>>>);

    impl Resolve for Answers {
        fn resolve(&self, _: Name) -> Resolving {
            let next = self.0.lock().unwrap().remove(0);
            let found: Vec<SocketAddr> = next
                .into_iter()
                .map(|text| SocketAddr::new(text.parse().unwrap(), 0))
                .collect();
            Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
        }
    }

    /// Counts who connects, and answers none.
    async fn listener() -> (u16, Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        (port, count)
    }

    #[tokio::test]
    async fn a_name_is_dialled_where_its_answer_was_checked_and_asked_anew_each_time() {
        let (port, count) = listener().await;
        let mut answers: Vec<Vec<&str>> = FORBIDDEN
            .iter()
            .filter_map(|host| {
                let bare = host.trim_matches(['[', ']']);
                bare.parse::<std::net::IpAddr>().is_ok().then(|| vec![bare])
            })
            .collect();
        let forbidden = answers.len();
        assert!(forbidden >= 30, "{forbidden}");
        // Rebinding: the first answer is harmless, the second is not; and both in one answer.
        answers.insert(0, vec!["127.0.0.1"]);
        answers.push(vec![
            "169.254.169.254",
            "127.0.0.1",
            "::ffff:169.254.169.254",
        ]);
        let answers = Answers(Arc::new(Mutex::new(answers)));
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .dns_resolver(GuardedResolver {
                addresses: Addresses::default(),
                inner: answers.clone(),
            })
            .build()
            .unwrap();
        let url = format!("http://registry.example:{port}/v2/");
        assert!(client.get(&url).send().await.is_err());
        assert_eq!(
            count.load(Ordering::SeqCst),
            1,
            "the harmless one is dialled"
        );
        for _ in 0..forbidden {
            let error = client.get(&url).send().await.unwrap_err();
            assert!(chain(&error).contains("the name leads to"), "{error:?}");
        }
        assert_eq!(count.load(Ordering::SeqCst), 1, "0 connections");
        assert!(client.get(&url).send().await.is_err());
        assert_eq!(count.load(Ordering::SeqCst), 2, "only the harmless one");
        assert!(answers.0.lock().unwrap().is_empty());
    }

    #[test]
    fn plain_http_and_user_information_are_refused_unless_asked_for() {
        let check = |text: &str, plain| check(&text.parse().unwrap(), plain, &Addresses::default());
        assert!(check("http://registry.example/", false).is_err());
        assert!(check("http://registry.example/", true).is_ok());
        assert!(check("ftp://registry.example/", true).is_err());
        let error = check("https://user:secret@registry.example/?token=secret", false).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
