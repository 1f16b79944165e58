"""Supervision: child specs, strategies, the root supervisor on Ray and the actor host. Never anything about prices.

What others may name: `launch.LaunchPlan` (what a guardian is told), `guardian.read_state` and `guardian.stop` (what it says,
how it ends), `control.ask` (the root, on one node), `tree.GROUPS` (the table of actors and intensities). The decisions are in
`machine` and `nested`, pure; `runner` carries them out on what `ray_life` and `server_life` can start. Nothing is imported
here: the guardian must not pay for Ray.
"""
