"""A Django project in one file. A real one has `project.wsgi` in its place."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "of an example"),
)

urlpatterns = [path("", lambda request: HttpResponse(f"hello from {os.getpid()}"))]

application = get_wsgi_application()
