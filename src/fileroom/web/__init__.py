"""Fileroom's own resources over HTTP: pages, the viewer, tasks, peers, and the node's state.

    documents               routes; tasks, peers, conflicts; bodies reads what is sent
    pages                   page_routes; study_list with search_form, study_page, files (a ZIP);
                            page is their frame, markup how HTML is made, shown how values are
                            written, static_files their style
    the viewer              viewer serves it, viewer_settings tells it where it is

Owns: nothing durable
Never: DICOMweb; SQL, provider SDKs, files but those of an installed viewer; attribute values in
    logs, in the text of an error, or in an address
Start at: routes.py
"""
