"""Drawing schedules: what to draw (`curve`, `axes`), and where (`svg`, `terminal`, `png`).

Every writer takes the same curves::

    curves = [curve.of(schedule)]
    svg.render(curves)
    terminal.render(curves)
    png.render(curves)
"""
