//! Eigenvalues of a Laplacian → how many clusters their gaps suggest.

/// γ of Yousefzadeh 2020, section 6.2.1.
pub const PAPER_GAMMA: f64 = 0.4;

/// Yousefzadeh 2020, Algorithm 2, line 9, as printed: the number of gaps λᵢ₊₁ − λᵢ larger than γ
/// between ascending eigenvalues.
///
/// The paper's own figure does not follow from this rule: gaps of more than 0.4 between 500
/// eigenvalues that span about 100 cannot be 454 (454 · 0.4 > 100). On its data (the SSIM matrix of
/// section 6.2.1, which [`crate::similarity::Ssim::PAPER`] gives, the unnormalised Laplacian) the
/// rule gives 46. [`largest_gap`] is the rule of the source that the paper cites.
#[must_use]
pub fn gaps_above(values: &[f64], gamma: f64) -> usize {
    values
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > gamma)
        .count()
}

/// Von Luxburg 2007, section 8.3: the c for which λ_c is small and λ_{c+1} relatively large, taken
/// as the c ≤ `most` with the largest gap λ_{c+1} − λ_c (counted from 1; the smallest of equals). 1
/// where there are fewer than two eigenvalues.
#[must_use]
pub fn largest_gap(values: &[f64], most: usize) -> usize {
    let gaps = values.windows(2).take(most).map(|pair| pair[1] - pair[0]);
    let largest = gaps
        .enumerate()
        .reduce(|best, gap| if gap.1 > best.1 { gap } else { best });
    largest.map_or(1, |(before, _)| before + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_as_printed_and_the_largest_says_how_many_values_come_before_it() {
        let values = [0.0, 0.0, 0.1, 0.9, 1.0, 1.4, 3.0];
        assert_eq!(
            (
                gaps_above(&values, 0.4),
                gaps_above(&values, 0.3),
                gaps_above(&values, 5.0)
            ),
            (2, 3, 0)
        );
        assert_eq!(
            (
                largest_gap(&values, 5),
                largest_gap(&values, 6),
                largest_gap(&values, 100)
            ),
            (3, 6, 6)
        );
        assert_eq!(
            (
                largest_gap(&[], 5),
                largest_gap(&[0.0], 5),
                largest_gap(&[0.0, 0.0], 5),
                gaps_above(&[], 0.4)
            ),
            (1, 1, 1, 0)
        );
    }
}
