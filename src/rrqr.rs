//! stub
use crate::Result;
use ndarray::{Array2, ArrayView2};
#[derive(Debug)]
pub struct IntegerColumns;
impl IntegerColumns {
    pub fn from_rows(_: &[Vec<i16>]) -> Self {
        Self
    }
}
pub fn select_columns(_: &IntegerColumns, max: usize) -> Vec<usize> {
    (1..=max).collect()
}
pub struct PivotedQr {
    pub pivots: Vec<usize>,
}
impl PivotedQr {
    pub fn numerical_rank(&self, _: f64) -> usize {
        0
    }
    pub fn leading_columns(&self, _: f64) -> Result<usize> {
        Ok(0)
    }
}
pub struct Stop {
    pub tolerance: f64,
    pub max_columns: usize,
}
pub struct Gram {
    g: Array2<f64>,
}
impl Gram {
    pub fn new(d: usize) -> Self {
        Self { g: Array2::zeros((d, d)) }
    }
    pub fn add_rows(&mut self, _: ArrayView2<f64>) -> Result<()> {
        Ok(())
    }
    pub fn matrix(&self) -> &Array2<f64> {
        &self.g
    }
}
pub fn gram_pivoted_qr(_: &Gram, _: Stop) -> Result<PivotedQr> {
    Ok(PivotedQr { pivots: vec![] })
}
pub fn column_pivoted_qr(_: ArrayView2<f64>, _: Stop) -> Result<PivotedQr> {
    Ok(PivotedQr { pivots: vec![] })
}
pub fn condition_number(_: &Gram) -> Result<f64> {
    Ok(0.0)
}
