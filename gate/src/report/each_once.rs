//! A map of which no key stands twice: serde would take the last.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;
use serde::Deserializer;
use serde::de::{Error as _, MapAccess, Visitor};

pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Decimal>, D::Error> {
    struct EachOnce;

    impl<'de> Visitor<'de> for EachOnce {
        type Value = BTreeMap<String, Decimal>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of numbers")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut values = BTreeMap::new();
            while let Some((name, value)) = map.next_entry()? {
                if values.insert(name, value).is_some() {
                    return Err(M::Error::custom("a name stands twice"));
                }
            }
            Ok(values)
        }
    }

    deserializer.deserialize_map(EachOnce)
}
