//! Medians and spread.

/// Measurements of one thing, in the order in which they were taken.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value below which this part of them lies.
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = part * (sorted.len() - 1) as f64;
        let (low, high) = (at.floor() as usize, at.ceil() as usize);
        sorted[low] + (sorted[high] - sorted[low]) * at.fract()
    }

    /// Round by round, this one divided by the other: what disturbed both falls out.
    pub fn over(&self, other: &Self) -> Self {
        assert_eq!(
            self.len(),
            other.len(),
            "both were measured in the same rounds"
        );
        Self(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(one, two)| one / two)
                .collect(),
        )
    }
}
