"""A local page to try a SpanQA server: ``spanqa playground``; it needs the extra ``playground``.

The page has no build step: HTML, CSS and JavaScript modules in ``static``, served as they are. The
browser talks to this program only; this program calls the SpanQA server as any other client does.
"""
