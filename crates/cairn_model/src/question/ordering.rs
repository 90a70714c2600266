//! The order of rows, for whoever has them all in memory.

use std::cmp::Ordering;

use crate::answer::{Figure, Key, Row};
use crate::question::{Asked, Column, Direction};

fn compare_figures(left: Figure, right: Figure, direction: Direction) -> Ordering {
    match (left.raw(), right.raw(), direction) {
        (None, None, _) => Ordering::Equal,
        (None, Some(_), _) => Ordering::Greater,
        (Some(_), None, _) => Ordering::Less,
        (Some(left), Some(right), Direction::Ascending) => left.cmp(&right),
        (Some(left), Some(right), Direction::Descending) => right.cmp(&left),
    }
}

impl Asked {
    fn compare_keys(&self, position: usize, left: &Row, right: &Row) -> Ordering {
        match (left.keys.get(position), right.keys.get(position)) {
            (Some(Key::Bucket(left)), Some(Key::Bucket(right))) => left.cmp(right),
            (Some(left), Some(right)) => {
                self.label(position, left).cmp(&self.label(position, right))
            }
            _ => Ordering::Equal,
        }
    }

    /// The rows of the page that was asked for.
    pub fn cut_page(&self, rows: Vec<Row>) -> Vec<Row> {
        let offset = usize::try_from(self.page.offset).unwrap_or(usize::MAX);
        let limit = self.page.limit.map_or(usize::MAX, |limit| limit as usize);
        rows.into_iter().skip(offset).take(limit).collect()
    }

    /// Which row comes first: by what was asked, then by what the dimensions' values are called, then by the values
    /// as stored. Figures that are missing come last either way.
    pub fn compare_rows(&self, left: &Row, right: &Row) -> Ordering {
        let asked = self.order_by.iter().map(|order| match order.column {
            Column::Metric(index) => match (left.figures.get(index), right.figures.get(index)) {
                (Some(left), Some(right)) => compare_figures(*left, *right, order.direction),
                _ => Ordering::Equal,
            },
            Column::Dimension(index) => {
                let ascending = self.compare_keys(index, left, right);
                match order.direction {
                    Direction::Ascending => ascending,
                    Direction::Descending => ascending.reverse(),
                }
            }
        });
        let labels = (0..self.dimensions.len()).map(|index| self.compare_keys(index, left, right));
        let stored = std::iter::once_with(|| left.keys.cmp(&right.keys));
        asked
            .chain(labels)
            .chain(stored)
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}
