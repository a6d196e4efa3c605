//! Which addresses may be spoken to, and how they are written in messages.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

/// Resolver that leaves out addresses no registry may have, so that a name cannot lead there
/// (also not by another answer at the second look: the checked address is the dialled one).
pub(in crate::effects) struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| !is_forbidden(address.ip()))
                .collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err::<Addrs, Box<dyn Error + Send + Sync>>(
                    "the name leads to a link-local address".into(),
                );
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Link-local and cloud metadata addresses, also when written as IPv6.
pub(in crate::effects) fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_forbidden_v4(address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
                || embedded_v4(address).is_some_and(is_forbidden_v4)
        }
    }
}

/// Whether this URL may be spoken to at all; else why not.
pub(in crate::effects) fn check(url: &Url, plain_http: bool) -> Result<(), String> {
    let scheme_allowed = url.scheme() == "https" || (plain_http && url.scheme() == "http");
    if !scheme_allowed {
        return Err(format!("'{}' is not https", redacted(url)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("'{}' carries user information", redacted(url)));
    }
    let forbidden = match url.host() {
        Some(Host::Ipv4(address)) => is_forbidden(address.into()),
        Some(Host::Ipv6(address)) => is_forbidden(address.into()),
        Some(Host::Domain(_)) => false,
        None => return Err(format!("'{}' has no host", redacted(url))),
    };
    if forbidden {
        return Err(format!("'{}' is a link-local address", redacted(url)));
    }
    Ok(())
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

fn is_forbidden_v4(address: Ipv4Addr) -> bool {
    address.is_link_local()
}

/// IPv4 inside IPv6: mapped (`::ffff:a.b.c.d`), compatible (`::a.b.c.d`), NAT64 (`64:ff9b::/96`).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let prefix = &segments[..6];
    let embedded = prefix == [0, 0, 0, 0, 0, 0xffff]
        || prefix == [0, 0, 0, 0, 0, 0]
        || prefix == [0x64, 0xff9b, 0, 0, 0, 0];
    let [.., a, b, c, d] = address.octets();
    embedded.then(|| Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_addresses_are_refused_however_they_are_written() {
        for bad in [
            "https://169.254.169.254/latest",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://0251.0376.0251.0376/",
            "https://169.254.43518/",
            "https://[::ffff:169.254.169.254]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[64:ff9b::169.254.169.254]/",
            "https://[::169.254.169.254]/",
            "https://[fe80::1]/",
            "https://[febf::1]/",
            "https://[fd00:ec2::254]/",
            "https://169。254。169。254/",
        ] {
            let url: Url = bad.parse().unwrap();
            assert!(check(&url, true).is_err(), "{bad}");
        }
        for good in [
            "https://10.0.0.1/",
            "https://[::1]:5000/",
            "https://registry.example/",
        ] {
            assert_eq!(check(&good.parse().unwrap(), false), Ok(()), "{good}");
        }
    }

    #[test]
    fn plain_http_and_user_information_are_refused_unless_asked_for() {
        let check = |text: &str, plain| check(&text.parse().unwrap(), plain);
        assert!(check("http://registry.example/", false).is_err());
        assert!(check("http://registry.example/", true).is_ok());
        assert!(check("ftp://registry.example/", true).is_err());
        let error = check("https://user:secret@registry.example/?token=secret", false).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
