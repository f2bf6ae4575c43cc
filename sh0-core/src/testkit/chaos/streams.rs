use futures_util::stream::{self, BoxStream, StreamExt};

use super::Faults;
use crate::{Error, Result};

/// A stream each of whose items is a call of its own. An item that goes wrong is the last.
pub(super) fn wrapped<T: Send + 'static>(
    faults: &Faults,
    name: &'static str,
    items: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let start = Some((items, faults.clone()));
    stream::unfold(start, move |open| async move {
        let (mut items, faults) = open?;
        let next = faults.call(name, async { items.next().await.transpose() }).await;
        match next {
            Ok(None) => None,
            Ok(Some(item)) => Some((Ok(item), Some((items, faults)))),
            Err(error) => Some((Err::<T, Error>(error), None)),
        }
    })
    .boxed()
}
