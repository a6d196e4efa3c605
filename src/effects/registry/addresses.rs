//! Which addresses may be spoken to.
//!
//! Never those where a node tells who it is, or hands out credentials: link-local addresses and the metadata services
//! of the clouds, in whatever form of IPv6 an IPv4 address can hide. Beyond that whoever runs the operator may name the
//! only networks that it speaks to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// What an address must be to be spoken to. All of them but the forbidden ones, unless networks are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    only: Option<Arc<[Network]>>,
}

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// Metadata services outside of the link-local range, by the vendor's documentation: Azure ("wire server"), Alibaba
/// Cloud, Oracle Cloud (the former address).
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// The same in IPv6: Google Cloud, Scaleway.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

impl Addresses {
    /// Only those in one of these networks; all when there is none.
    pub fn only(networks: Vec<Network>) -> Self {
        Self {
            only: (!networks.is_empty()).then(|| networks.into()),
        }
    }

    /// Why this address may not be spoken to; `None` = it may.
    pub(in crate::effects) fn problem(&self, address: IpAddr) -> Option<&'static str> {
        if is_forbidden(address) {
            return Some("a link-local address or one where a cloud hands out credentials");
        }
        let only = self.only.as_ref()?;
        let mut networks = only.iter();
        let inside = networks.any(|network| network.holds(address));
        (!inside).then_some("an address outside of the networks that the operator may speak to")
    }

    pub(super) fn fingerprint(&self) -> String {
        format!("{:?}", self.only)
    }
}

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => same(
                base.to_bits().into(),
                address.to_bits().into(),
                32 - self.bits,
            ),
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                same(base.to_bits(), address.to_bits(), 128 - self.bits)
            }
            _ => false,
        }
    }
}

/// Whether two addresses are the same but for this many bits at the end.
fn same(one: u128, other: u128, differs: u8) -> bool {
    (one ^ other).checked_shr(differs.into()).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no network; write it as in 10.0.0.0/8 or fd00::/8");
        let (base, bits) = text.trim().split_once('/').ok_or_else(wrong)?;
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let bits: u8 = bits.parse().map_err(|_| wrong())?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        (bits <= longest)
            .then_some(Self { base, bits })
            .ok_or_else(wrong)
    }
}

fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_forbidden_v4(address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.is_multicast()
                || address.is_unspecified()
                // Services of the node in AWS: metadata, credentials of Pods, names, time.
                || address.segments()[..2] == [0xfd00, 0xec2]
                || METADATA_V6.contains(&address)
                || embedded_v4(address).any(is_forbidden_v4)
        }
    }
}

fn is_forbidden_v4(address: Ipv4Addr) -> bool {
    address.is_link_local()
        // "This host on this network": the kernel takes it for loopback.
        || address.octets()[0] == 0
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA_V4.contains(&address)
}

/// Every IPv4 address that a form of IPv6 may stand for. `::` and `::1` are no such forms.
fn embedded_v4(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let segments = address.segments();
    let octets = address.octets();
    let at = |place: [usize; 4]| place.map(|index| octets[index]).into();
    let last: Ipv4Addr = at([12, 13, 14, 15]);
    let plain = address.is_unspecified() || address.is_loopback();
    // Mapped, translated (SIIT, RFC 2765), compatible, NAT64 (RFC 6052), and any prefix with an interface id of ISATAP.
    let at_the_end = (segments[..4] == [0, 0, 0, 0]
        && matches!(segments[4..6], [0, 0 | 0xffff] | [0xffff, 0]))
        || segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
        || (matches!(segments[4], 0 | 0x200) && segments[5] == 0x5efe);
    // NAT64 of one's own (RFC 8215): where the address stands depends on the length of the prefix (RFC 6052).
    let own_nat64 = |address: Ipv4Addr| {
        let there = segments[..3] == [0x64, 0xff9b, 1] && address.octets()[0] != 0;
        there.then_some(address)
    };
    let teredo = segments[..2] == [0x2001, 0];
    [
        (at_the_end && !plain).then_some(last),
        own_nat64(at([6, 7, 9, 10])),
        own_nat64(at([7, 9, 10, 11])),
        own_nat64(at([9, 10, 11, 12])),
        own_nat64(last),
        // 6to4.
        (segments[0] == 0x2002).then_some(at([2, 3, 4, 5])),
        // Teredo: its server, and its client with all bits turned over.
        teredo.then_some(at([4, 5, 6, 7])),
        teredo.then_some(Ipv4Addr::from_bits(!last.to_bits())),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_they_say() {
        let only = |networks: &[&str]| {
            let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
            Addresses::only(networks)
        };
        let may = |addresses: &Addresses, text: &str| {
            let address = text.parse().unwrap();
            addresses.problem(address).is_none()
        };
        let some = only(&["10.1.0.0/16", "192.0.2.7/32", "fd12::/16"]);
        for inside in ["10.1.255.3", "192.0.2.7", "fd12::1", "::ffff:10.1.2.3"] {
            assert!(may(&some, inside), "{inside}");
        }
        for outside in [
            "10.2.0.1",
            "192.0.2.8",
            "fd13::1",
            "127.0.0.1",
            "::1",
            "8.8.8.8",
        ] {
            assert!(!may(&some, outside), "{outside}");
            assert!(may(&Addresses::default(), outside), "{outside}");
        }
        // A network that is named does not open what is forbidden.
        let all = only(&["0.0.0.0/0", "::/0"]);
        assert!(may(&all, "127.0.0.1") && may(&all, "2001:db8::1"));
        assert!(!may(&all, "169.254.169.254") && !may(&all, "fe80::1"));
        assert_eq!(only(&[]), Addresses::default());
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for bad in [
            "",
            "10.0.0.1",
            "10.0.0.0/33",
            "fd00::/129",
            "a/8",
            "10.0.0.0/-1",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
