"""What every HTTP door needs: the socket, the way of a request, answers.

A request is routed by a table, its caller is named from the connection, `access.decide` is
asked, and only then does a handler work. Bodies stream both ways: memory is bounded per
request, whatever the size of an instance or a study.

    the socket              listener, lingering
    the way of a request    app, routing, caller, request, hang_up; refusals has the status of
                            every error
    what there is           resources: what a room gives the door; operation: how it is described
    what handlers share     ports (what they work with), paging, task_note, answers, texts (gzip)
    what the door tells     told, openapi

Owns: nothing durable
Never: SQL, files, provider SDKs; attribute values in logs or in the text of an error; resources of
    its own, which are those of dicomweb and web
Start at: app.py
"""
