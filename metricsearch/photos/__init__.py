"""A folder of photos as a searchable collection: by what they show and by the very objects in them."""

from metricsearch.photos.collection import PhotoCollection
from metricsearch.photos.contact_sheet import check_sheet, draw_contact_sheet
from metricsearch.photos.hits import PhotoHit
from metricsearch.photos.indexing import IndexReport
from metricsearch.photos.manifest import is_photo_collection

__all__ = ["IndexReport", "PhotoCollection", "PhotoHit", "check_sheet", "draw_contact_sheet", "is_photo_collection"]
