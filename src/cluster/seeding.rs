//! Points → the first centres, by k-means++ (Arthur and Vassilvitskii 2007, "k-means++: the
//! advantages of careful seeding", section 2.2).
//!
//! Each next centre is a point x drawn with probability D(x)² / ΣD², D the distance to the nearest
//! centre so far. Drawn one by one, each costs a pass over all points. Here D is brought up to date
//! for many centres at once, by a matrix product, and in between a point is drawn by the old D and
//! accepted with probability D_now² / D_old²: rejection sampling, so that centres come with the
//! very probabilities of the paper.

use super::{
    nearest::{Found, Rows, nearest, squared_distance},
    random::Numbers,
};

/// D is brought up to date when the centres have grown by so large a part.
const GROWTH: usize = 16;
/// …or when so many draws in a row were refused.
const REFUSALS: usize = 64;

/// The nearest centre of a point, and a lower bound for all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    pub(super) centre: u32,
    /// Squared distance to it.
    pub(super) squared: f64,
    /// A lower bound of the squared distance to the others.
    pub(super) others: f64,
}

impl Near {
    const NOTHING: Self = Self {
        centre: u32::MAX,
        squared: f64::INFINITY,
        others: f64::INFINITY,
    };

    /// With what was found among further centres, which come `after` those before.
    fn and(&mut self, found: Found, after: u32) {
        match found.nearest {
            Some((centre, squared)) if squared < self.squared => {
                *self = Self {
                    centre: after + centre,
                    squared,
                    others: self.squared.min(found.others),
                };
            }
            Some((_, squared)) => self.others = self.others.min(squared),
            None => self.others = self.others.min(found.others),
        }
    }
}

/// At most `k` rows to be centres, in the order drawn, and the nearest of them for each point:
/// fewer if there are no more different points.
pub(super) fn plus_plus(points: &Rows, k: usize, numbers: &mut Numbers) -> (Vec<u32>, Vec<Near>) {
    let all: Vec<u32> = (0..points.len() as u32).collect();
    let mut near = vec![Near::NOTHING; points.len()];
    let mut centres = vec![numbers.below(points.len()) as u32];
    let mut told = 0;
    loop {
        let known: Vec<f64> = near.iter().map(|near| near.squared).collect();
        let found = nearest(points, &all, &known, &points.select(&centres[told..]));
        near.iter_mut()
            .zip(found)
            .for_each(|(near, found)| near.and(found, told as u32));
        told = centres.len();
        let sums = running_sums(&near);
        if told >= k || sums.last().is_none_or(|&sum| sum <= 0.0) {
            return (centres, near);
        }
        draw(
            points,
            &near,
            &sums,
            k.min(told + 1 + told / GROWTH),
            &mut centres,
            numbers,
        );
    }
}

fn running_sums(near: &[Near]) -> Vec<f64> {
    let mut sum = 0.0;
    near.iter()
        .map(|near| (sum += near.squared, sum).1)
        .collect()
}

/// Draws until there are `until` centres or draws are too often refused; at least one.
fn draw(
    points: &Rows,
    near: &[Near],
    sums: &[f64],
    until: usize,
    centres: &mut Vec<u32>,
    numbers: &mut Numbers,
) {
    let (before, mut refused) = (centres.len(), 0);
    while centres.len() < until && refused < REFUSALS {
        let at = numbers.unit() * sums[sums.len() - 1];
        let row = sums.partition_point(|&sum| sum <= at).min(sums.len() - 1) as u32;
        let old = near[row as usize].squared;
        let new = centres[before..]
            .iter()
            .map(|&centre| squared_distance(points.row(row), points.row(centre)))
            .fold(old, f64::min);
        if numbers.unit() * old < new {
            centres.push(row);
            refused = 0;
        } else {
            refused += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f32]) -> Rows {
        Rows::new(1, values.to_vec())
    }

    #[test]
    fn every_different_point_becomes_a_centre_if_so_many_are_asked_for_and_no_more_do() {
        let points = line(&[3.0, 3.0, 8.0, 8.0, 8.0, -1.0]);
        let (mut centres, near) = plus_plus(&points, 6, &mut Numbers::new(1));
        centres.sort_by(|a, b| points.row(*a)[0].total_cmp(&points.row(*b)[0]));
        assert_eq!(
            centres
                .iter()
                .map(|&c| points.row(c)[0])
                .collect::<Vec<_>>(),
            [-1.0, 3.0, 8.0]
        );
        assert!(near.iter().all(|near| near.squared == 0.0));
    }

    #[test]
    fn what_is_told_of_each_point_is_that_of_measuring_all_centres() {
        let mut numbers = Numbers::new(4);
        let points = Rows::new(3, (0..2_400).map(|_| numbers.below(50) as f32).collect());
        let (centres, near) = plus_plus(&points, 300, &mut numbers);
        assert_eq!(centres.len(), 300);
        for (i, near) in near.iter().enumerate() {
            let all = centres
                .iter()
                .map(|&c| squared_distance(points.row(i as u32), points.row(c)));
            let all: Vec<f64> = all.collect();
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            assert_eq!((near.squared, all[near.centre as usize]), (least, least));
            let others = all
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != near.centre as usize)
                .map(|(_, &d)| d)
                .fold(f64::INFINITY, f64::min);
            assert!(near.others <= others);
        }
    }

    /// Three places on a line: the chance that the two far ones are drawn first is known.
    #[test]
    fn centres_are_drawn_with_the_probabilities_of_the_paper() {
        // 40 points at 0, 1 at 3, 1 at 4. The fourth centre of 43 points is settled by then; the
        // second and third are counted.
        let mut values = vec![0.0f32; 40];
        values.extend([3.0, 4.0]);
        let (points, mut first_far, mut trials) = (line(&values), 0, 0);
        for seed in 0..6_000 {
            let (centres, _) = plus_plus(&points, 2, &mut Numbers::new(seed));
            if centres[0] < 40 {
                trials += 1;
                first_far += usize::from(centres[1] == 41);
            }
        }
        // After a centre at 0 the weights are 9 and 16.
        let share = first_far as f64 / trials as f64;
        assert!((share - 16.0 / 25.0).abs() < 0.02, "{share}");
    }

    /// The same seeding with D brought up to date after each centre.
    fn one_by_one(points: &Rows, k: usize, numbers: &mut Numbers) -> Vec<u32> {
        let mut centres = vec![numbers.below(points.len()) as u32];
        while centres.len() < k {
            let weight = |row: u32| {
                centres
                    .iter()
                    .map(|&c| squared_distance(points.row(row), points.row(c)))
                    .fold(f64::INFINITY, f64::min)
            };
            let mut sum = 0.0;
            let sums: Vec<f64> = (0..points.len() as u32)
                .map(|row| (sum += weight(row), sum).1)
                .collect();
            let at = numbers.unit() * sum;
            centres.push(sums.partition_point(|&sum| sum <= at) as u32);
        }
        centres
    }

    #[test]
    fn drawing_many_at_once_refuses_as_often_as_drawing_one_by_one_would() {
        // Sixty tight pairs, whose second halves have little weight; with 80 centres, up to six are
        // drawn at once.
        let values: Vec<f32> = (0..60)
            .flat_map(|i| [10.0 * i as f32, 10.0 * i as f32 + 1.0])
            .collect();
        let points = line(&values);
        let whole = |centres: &[u32]| {
            (0..60u32)
                .filter(|i| centres.contains(&(2 * i)) && centres.contains(&(2 * i + 1)))
                .count()
        };
        let runs = 500;
        let fast: usize = (0..runs)
            .map(|seed| whole(&plus_plus(&points, 80, &mut Numbers::new(seed)).0))
            .sum();
        let slow: usize = (0..runs)
            .map(|seed| {
                whole(&one_by_one(
                    &points,
                    80,
                    &mut Numbers::new(seed + 1_000_000),
                ))
            })
            .sum();
        let [fast, slow] = [fast, slow].map(|n| n as f64 / runs as f64);
        assert!((fast - slow).abs() < 0.15, "{fast} {slow}");
    }
}
