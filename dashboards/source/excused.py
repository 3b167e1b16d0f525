"""Metrics that no dashboard shows, each with the reason. A metric is shown or excused, not both."""

EXCUSED = {
    "process_virtual_memory_bytes": "says little of a Python process; resident memory is shown",
    "python_gc_collections_total": "objects of the start are frozen; stalls show as loop lag",
    "python_gc_objects_collected_total": "of use to developers with a leak at hand",
    "python_gc_objects_uncollectable_total": "of use to developers with a leak at hand",
    "python_info": "the image says it, and it does not change while a replica runs",
}
