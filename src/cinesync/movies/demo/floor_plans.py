"""The floor plans of the demo chain's auditoriums; `layouts` explains the letters."""

from functools import cache

from cinesync.contracts.movies import Layout
from cinesync.movies.layouts import FloorPlan, layout_of


@cache
def layout(plan_name: str, mirrored: bool = False) -> Layout:  # noqa: FBT001, FBT002 a cache key
    """The layout of a floor plan; a mirrored one is for the auditorium across the corridor."""
    return layout_of(FLOOR_PLANS[plan_name], mirrored=mirrored)


def _times(count: int, *rows: str) -> str:
    return "\n".join(rows * count)


# 450 seats, curved, two aisles; wheelchair places where the vomitories come in.
_IMAX_GRAND = "\n".join(
    (
        _times(2, "    ffff ffffffffffffff ffff    "),
        _times(2, "  ffffff ffffffffffffff ffffff  "),
        "",
        "    WCWC ssssssssssssss CWCW    ",
        _times(5, "sssssss ssssssssssssss sssssss"),
        _times(4, "sssssss pppppppppppppp sssssss"),
        _times(2, " pppppp pppppppppppppp pppppp "),
        "sssssss pppppppppppppp sssssss",
    )
)

FLOOR_PLANS: dict[str, FloorPlan] = {
    "imax_grand": FloorPlan(_IMAX_GRAND, curve=2.6, depth=1.4),
    "imax_compact": FloorPlan(
        "\n".join(
            (
                _times(2, "   ffff ffffffffffff ffff   "),
                "   WC  ssssssssssss  CW   ",
                _times(4, " sssss ssssssssssss sssss "),
                _times(4, "ssssss pppppppppppp ssssss"),
            )
        ),
        curve=1.8,
        depth=1.4,
    ),
    # 60 recliners, two by two.
    "vip_pairs": FloorPlan(
        "\n".join(
            (
                "WC vv'vv'vv CW",
                "",
                _times(5, "vv'vv vv'vv"),
                "vv'vv'vv'vv'vv",
            )
        ),
        pitch=1.5,
        depth=2.2,
        place_zone="vip",
    ),
    # The projection booth takes the right back corner.
    "studio_corner": FloorPlan(
        "\n".join(
            (
                "ffffffff",
                "WCssssss",
                "ssssssssss",
                "ssssssssss",
                "ssssssssss",
                "sssssss",
                "pppppp",
                "ppppp",
            )
        )
    ),
    "classic_aisle": FloorPlan(
        "\n".join(
            (
                _times(2, "ffffffff ffffffff"),
                "WC ssssss ssssss CW",
                _times(6, "ssssssss ssssssss"),
                _times(2, "pppppppp pppppppp"),
            )
        )
    ),
    "stadium": FloorPlan(
        "\n".join(
            (
                _times(2, "ffff ffffffffff ffff"),
                "",
                "WCWC ssssssssss CWCW",
                _times(4, "ssss ssssssssss ssss"),
                _times(4, "ssss pppppppppp ssss"),
            )
        ),
        curve=0.8,
        depth=1.3,
    ),
    # An old theater: stalls below, a horseshoe of a balcony above.
    "balcony": FloorPlan(
        "\n".join(
            (
                _times(2, "   ffffff ffffff   "),
                "   WC ssss ssss CW   ",
                _times(6, " ssssssss ssssssss "),
                "",
                "",
                "bb               bb",
                "bbb             bbb",
                "bbbbbbb bbb bbbbbbb",
                "bbbbbbb bbb bbbbbbb",
            )
        ),
        curve=1.2,
    ),
    # Walls that open like a fan.
    "fan": FloorPlan(
        "\n".join(
            (
                "        ffffff        ",
                "       ffffffff       ",
                "     WCssssssssCW     ",
                "     ssssssssssss     ",
                "    ssssss ssssss     ",
                "   sssssss sssssss   ",
                "  ssssssss ssssssss  ",
                " ppppppppp ppppppppp ",
                "pppppppppp pppppppppp",
            )
        ),
        curve=1.5,
    ),
    # A former shop: long and narrow, one aisle along the wall.
    "corridor": FloorPlan("\n".join(("ffff", "WCss", _times(9, "ssss"), "pppp", "pppp"))),
    # A wing of the building opens to the left behind the fifth row.
    "ell": FloorPlan(
        "\n".join(
            (
                "        ffffffff",
                "        ffffffff",
                "        WCssssss",
                _times(2, "        ssssssss"),
                _times(4, "sssssss ssssssss"),
                "ppppppp pppppppp",
            )
        )
    ),
    # Sofas for two and for three.
    "sofas": FloorPlan(
        "\n".join(
            (
                "lll ll lll",
                "WC lll lll",
                _times(4, "ll'll ll'll"),
                "lll lll lll",
            )
        ),
        pitch=1.25,
        depth=1.9,
        place_zone="sofa",
    ),
    "diamond": FloorPlan(
        "\n".join(
            (
                "    ffff    ",
                "   WCssCW   ",
                "  ssssssss  ",
                " ssssssssss ",
                "pppppppppppp",
                " ssssssssss ",
                "  ssssssss  ",
                "   ssssss   ",
            )
        ),
        depth=1.3,
    ),
    # Two pillars support the building above.
    "pillars": FloorPlan(
        "\n".join(
            (
                _times(2, "ffffffffffffff"),
                "sss ssssss sss",
                "sss ssssss sss",
                "WCssssssssssCW",
                "ssssssssssssss",
                "sss ssssss sss",
                "sss ssssss sss",
                _times(3, "pppppppppppppp"),
            )
        )
    ),
    # Steep rows, each shifted by half a seat against the one before.
    "brick": FloorPlan(
        "\n".join(
            (
                "ffffffffff ff",
                "'WCssssssss ss",
                _times(3, "ssssssssss ss", "'ssssssssss ss"),
                "pppppppppp pp",
                "'pppppppppp pp",
            )
        ),
        depth=1.1,
    ),
    # On the roof: loungers in the middle, benches around.
    "rooftop": FloorPlan(
        "\n".join(
            (
                "   ll' ll' ll' ll   ",
                "   ll' ll' ll' ll   ",
                "WC ssssssssssss CW",
                _times(3, "ss  ssssssssss  ss"),
                "ssssssssssssssssss",
            )
        ),
        curve=1.0,
        depth=1.6,
    ),
    # Typical of a modern multiplex: side blocks of three.
    "multiplex": FloorPlan(
        "\n".join(
            (
                "fff ffffffff fff",
                "WCs ssssssss sCW",
                _times(4, "sss ssssssss sss"),
                _times(2, "sss pppppppp sss"),
                "ppp pppppppp ppp",
            )
        )
    ),
}
