"""The graph editor in a browser: ComfyUI's own frontend, served by this host.

Needs the extra `studio` (aiohttp and comfyui-frontend-package); `moviegen studio` starts it.
"""
