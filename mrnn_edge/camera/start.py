"""What `Captioner.watch` starts: a source, a scene and the loop between them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mrnn_edge.camera.events import CaptionEvent
from mrnn_edge.camera.frames import Selection
from mrnn_edge.camera.notice import Notice, unheard
from mrnn_edge.camera.reconnect import ReconnectPolicy
from mrnn_edge.camera.scene import Scene, WatchOptions
from mrnn_edge.camera.source import Source, open_source
from mrnn_edge.camera.watch import Watch, watch

if TYPE_CHECKING:
    from mrnn_edge.captioner import Captioner


def start(
    captioner: "Captioner",
    source: Source,
    wishes: WatchOptions,
    *,
    selection: Selection,
    policy: ReconnectPolicy | None,
    notice: Notice | None,
) -> Iterator[CaptionEvent]:
    """The captions of a source by an open model. Raises as `Captioner.watch` does."""
    heard = notice or unheard
    frames = open_source(source, selection=selection, policy=policy, notice=heard)
    try:
        scene = Scene.of(captioner, wishes, source=frames.name)
    except BaseException:
        frames.close()
        raise
    return watch(frames, Watch(scene, interval_s=wishes.interval_s, notice=heard))
