//! What is fixed when an index is made: the text that every pack and every view repeats.

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    picture::Shape,
    wavelet::{Layout, Wavelet},
};

/// Fixed at `init`; never changes silently later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The side S of the standardised picture, in pixels.
    pub size: u16,
    /// 1: grey, 3: colour.
    pub planes: u8,
    /// The name of the wavelet of the search basis.
    pub wavelet: String,
    /// How many neighbours a list holds.
    pub neighbors: u16,
    /// The most columns of the search basis.
    pub max_features: u16,
}

impl Settings {
    /// With lists of 16 neighbours over at most 128 columns of the Haar transform.
    pub fn new(shape: Shape) -> Self {
        Self {
            size: shape.size,
            planes: shape.planes,
            wavelet: Wavelet::Haar.name().to_owned(),
            neighbors: 16,
            max_features: 128,
        }
    }

    /// The text that is stored.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("plain numbers and a name are valid TOML")
    }

    /// Reads the stored text.
    ///
    /// # Errors
    /// [`Error::Version`] for settings that this version does not know, [`Error::Input`] for values
    /// out of range.
    pub fn from_text(text: &[u8]) -> Result<Self> {
        let newer = |what: String| Error::Version {
            what,
            mend: "use the wsidx that made the index, or move the index folder away and run `wsidx sync --init`",
        };
        let text = std::str::from_utf8(text)
            .map_err(|_| newer("the settings of the index are not text".into()))?;
        let settings: Self = toml::from_str(text)
            .map_err(|e| newer(format!("the settings of the index are not known here: {e}")))?;
        settings.check()?;
        Ok(settings)
    }

    /// Whether every value is in its range.
    ///
    /// # Errors
    /// [`Error::Input`] naming the value.
    pub fn check(&self) -> Result<()> {
        Shape::new(self.size, self.planes)?;
        self.wavelet.parse::<Wavelet>()?;
        let range = |name: &str, value: u16, allowed: std::ops::RangeInclusive<u16>| {
            if allowed.contains(&value) {
                Ok(())
            } else {
                Err(Error::Input(format!(
                    "{name} = {value} is out of range; allowed are {} to {}",
                    allowed.start(),
                    allowed.end()
                )))
            }
        };
        range("neighbors", self.neighbors, 5..=256)?;
        range("max_features", self.max_features, 8..=1024)
    }

    /// The shape of the pictures.
    ///
    /// # Panics
    /// If the settings were never checked.
    pub fn shape(&self) -> Shape {
        Shape::new(self.size, self.planes).expect("checked settings")
    }

    /// The wavelet of the search basis.
    ///
    /// # Panics
    /// If the settings were never checked.
    pub fn wavelet(&self) -> Wavelet {
        self.wavelet.parse().expect("checked settings")
    }

    /// The layout of the coefficients, transformed as long as the side is even.
    pub fn layout(&self) -> Layout {
        Layout::full(self.size, self.planes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_from_their_text_and_foreign_ones_are_refused() {
        let settings = Settings::new(Shape::new(32, 3).unwrap());
        let text = settings.to_text();
        assert_eq!(Settings::from_text(text.as_bytes()).unwrap(), settings);
        let refused = |text: &str| Settings::from_text(text.as_bytes()).unwrap_err();
        assert!(matches!(
            refused(&format!("{text}shearlets = true\n")),
            Error::Version { .. }
        ));
        assert!(matches!(
            refused(&text.replace("neighbors = 16", "neighbors = 4")),
            Error::Input(_)
        ));
        assert!(matches!(
            refused(&text.replace("haar", "db4")),
            Error::Input(_)
        ));
    }
}
