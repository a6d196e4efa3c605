//! Which versions consumers use: the `platform.version` of their `floe.yaml`.

use serde::Deserialize;

use crate::domain::constraint::Constraint;
use crate::domain::names::Version;

/// Key of a consumer's ConfigMap that holds its pin.
pub const CONSUMER_FILE: &str = "floe.yaml";

/// What one consumer uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The ConfigMap, as `namespace/name`.
    pub consumer: String,
    /// Which versions.
    pub constraint: Constraint,
}

/// What all consumers use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// Those that could be read.
    pub known: Vec<Pin>,
    /// Why not all could be read, when they could not: then any version may be in use.
    pub unknown: Option<String>,
}

#[derive(Deserialize)]
struct File {
    platform: Platform,
}

#[derive(Deserialize)]
struct Platform {
    version: String,
}

impl Pins {
    /// Takes in the `floe.yaml` of one consumer.
    pub fn add(&mut self, consumer: &str, file: Option<&str>) {
        match constraint(file) {
            Ok(constraint) => self.known.push(Pin {
                consumer: consumer.to_owned(),
                constraint,
            }),
            Err(why) => {
                self.unknown
                    .get_or_insert_with(|| format!("ConfigMap '{consumer}': {why}"));
            }
        }
    }

    /// The pin that may mean this version.
    pub(super) fn of(&self, version: &Version) -> Option<&Pin> {
        self.known.iter().find(|pin| pin.constraint.covers(version))
    }
}

fn constraint(file: Option<&str>) -> Result<Constraint, String> {
    let text = file.ok_or_else(|| format!("it has no key '{CONSUMER_FILE}'"))?;
    let file: File = serde_saphyr::from_str(text).map_err(|_| {
        format!("its '{CONSUMER_FILE}' has no text under platform.version, or is no YAML")
    })?;
    file.platform
        .version
        .parse()
        .map_err(|why| format!("platform.version: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_pins_what_its_platform_version_says() {
        let mut pins = Pins::default();
        pins.add(
            "team/one",
            Some("metadata: {name: one}\nplatform:\n  version: '>=1.2.0, <2.0.0'\n  other: 1\n"),
        );
        pins.add("team/two", Some("platform: {version: latest-prod}"));
        assert_eq!(pins.unknown, None);
        let pin = |version: &str| {
            let pin = pins.of(&version.parse().unwrap());
            pin.map(|pin| pin.consumer.clone())
        };
        assert_eq!(pin("1.3.0").as_deref(), Some("team/one"));
        assert_eq!(pin("2.0.0"), None);
    }

    #[test]
    fn a_pin_that_cannot_be_read_makes_all_pins_unknown() {
        for (file, words) in [
            (None, "no key"),
            (Some("platform: {}"), "platform.version"),
            (Some("platform: {version: 1.2}"), "1.2"),
            (Some("platform: {version: '1.2'}"), "1.2"),
            (Some(": : ["), "YAML"),
            (Some(""), "platform.version"),
        ] {
            let mut pins = Pins::default();
            pins.add("team/one", Some("platform: {version: 1.0.0}"));
            pins.add("team/two", file);
            pins.add("team/three", None);
            let unknown = pins.unknown.unwrap();
            assert!(
                unknown.contains("'team/two'") && unknown.contains(words),
                "{file:?}: {unknown}"
            );
        }
    }
}
